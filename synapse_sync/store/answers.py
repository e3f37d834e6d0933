"""Answers of sites that came with a bundle: previews, and documents for sidecars, for a machine without a network.

Nobody promises their bytes. So they are kept for the one project that the bundle was made of, and no other project
is shown them.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from synapse_sync.store.durable import make_dirs, storage_error, write_atomic
from synapse_sync.user.small_files import LARGEST, UnfitFile, read_small


def answer_name(question: str) -> str:
    """The name under which the answer to a question is kept: the SHA-256 of an address or of a reference."""
    return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()


class Answers:
    """The answers for one project, by its key, in one store."""

    def __init__(self, store: Path, project_key: str) -> None:
        self._directory = store / "answers" / project_key

    def get(self, question: str) -> bytes | None:
        """The answer to a question, or None; raises `StorageError`."""
        try:
            return read_small(self._directory / answer_name(question), LARGEST)
        except (FileNotFoundError, NotADirectoryError, UnfitFile):
            return None
        except OSError as error:
            raise storage_error(error, "reading an answer that came with a bundle") from error

    def put(self, name: str, content: bytes) -> None:
        """Keep an answer under its name, a SHA-256; raises `StorageError`."""
        try:
            make_dirs(self._directory, durable=False)
        except OSError as error:
            raise storage_error(error, f"making {self._directory}") from error
        write_atomic(self._directory / name, content, durable=False)


def forget_answers(store: Path, project_key: str) -> None:
    """Remove the answers for a project that is gone; raises `StorageError`."""
    try:
        shutil.rmtree(store / "answers" / project_key)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise storage_error(error, "removing answers that came with a bundle") from error

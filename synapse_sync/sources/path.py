"""Files of this machine as a source."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from synapse_sync.core.artifact import Candidate, ModelCard, format_of
from synapse_sync.core.digest import Digest
from synapse_sync.core.names import safe_filename
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, NetworkError, NotFound, StatusError, StorageError, SynapseError
from synapse_sync.sources.base import Ask, Description, Location, Resolved, description_of


class PathSource:
    """Local files; relative paths begin at `base`, the directory of the project."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Return one candidate for each question, with its size; it is hashed on its way into the store."""
        answers: dict[str, Resolved | SynapseError] = {}
        for ask in asks:
            try:
                answers[ask.key] = self._answer(ask)
            except SynapseError as error:
                answers[ask.key] = error
        return answers

    def describe(self, reference: Reference) -> Description:
        """Return the name and the size of the file."""
        return description_of(self._answer(Ask(key="", reference=reference)))

    def locate(self, reference: Reference) -> Location:
        """Return the path of the file."""
        return Location(url="", path=str(self._path(reference)))

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Return nothing: files of this machine are not searched for."""
        return {}

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """Return the error as it is: a local file has no status, but the protocol has this method."""
        return NetworkError(f"`{reference}`: {error.message}", hint=error.hint)

    def needs_token(self, reference: Reference) -> str | None:
        """Return None: the file system has its own permissions."""
        return None

    def _path(self, reference: Reference) -> Path:
        try:
            path = Path(reference.id).expanduser()
        except RuntimeError:
            raise InputError(f"`{reference}`: no such home directory") from None
        # The system resolves `..`, whose meaning depends on symbolic links.
        return self._base.absolute() / path

    def _answer(self, ask: Ask) -> Resolved:
        path = self._path(ask.reference)
        size = _size(path, str(ask.reference))
        filename = safe_filename(path.name)
        candidate = Candidate(
            filename=filename, url=ask.reference, size=size, format=format_of(filename), primary=True
        )
        return Resolved(
            key=ask.key, reference=ask.reference, card=ModelCard(title=filename), candidates=(candidate,)
        )


def _size(path: Path, what: str) -> int:
    """Return the size of the regular file `path` in bytes; raises `NotFound`, `InputError` or `StorageError`."""
    try:
        found = path.stat()
        readable = os.access(path, os.R_OK)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"`{what}`: the file does not exist", hint=f"synapse looked for {path}") from None
    except (OSError, ValueError) as error:
        raise StorageError(f"`{what}`: cannot look at {path}: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise InputError(f"`{what}` is {kind}", hint="name one file")
    if not readable:
        raise StorageError(f"`{what}`: no permission to read {path}", hint="change its permissions")
    return found.st_size

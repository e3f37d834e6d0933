"""Notes: what the store wrote down of a project, as it is read by whoever needs nothing else."""

from __future__ import annotations

import hashlib
import json
import os

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


def project_key(project: str | Path) -> str:
    """The short name under which a project's receipts and records are kept; its directory is its identity."""
    return hashlib.sha256(os.path.realpath(project).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def note_path(store: str | Path, key: str) -> str:
    """Where the note of a project lies."""
    return os.path.join(store, "projects", f"{key}.json")


def read_note(store: str | Path, key: str) -> Any:
    """The note as the JSON that it is; raises `OSError` and `ValueError`."""
    with open(note_path(store, key), "rb") as file:
        return json.loads(file.read())


def completed(store: str | Path, key: str) -> tuple[str, list[str]] | None:
    """The state that a project last completed and the roots it did so in, if the note says that."""
    try:
        note = read_note(store, key)
        state, roots = note["complete"], list(note["roots"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    known = isinstance(state, str) and all(isinstance(root, str) for root in roots)
    return (state, roots) if known else None

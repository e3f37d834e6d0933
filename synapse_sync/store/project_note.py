"""The store's note of a project, read without its values. Import-light: loaded on the no-op path."""

from __future__ import annotations

import hashlib
import json
import os
import sys

from synapse_sync.user.small_files import read_small

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


#: The directory of a store with a note for each project that uses its files.
RECORDS = "projects"


def project_key(project: str | Path) -> str:
    """The short name of a project in receipts and records, made from the real path of its directory."""
    return hashlib.sha256(os.path.realpath(project).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def note_path(store: str | Path, key: str) -> str:
    """The path of a project's note."""
    return os.path.join(store, RECORDS, f"{key}.json")


def read_note(store: str | Path, key: str) -> Any:
    """The JSON of the note; raises `OSError` and `ValueError`."""
    return json.loads(read_small(note_path(store, key)))


def completed(store: str | Path, key: str) -> tuple[str, list[str]] | None:
    """The fingerprint of the last completed state and the roots of it, or None if the note has none.

    In a shared store another user may have written it: then it counts as none, and the trees are looked at. It also
    counts as none where a variable that a root depends on has another value now.
    """
    try:
        note = json.loads(read_small(note_path(store, key), trust=_is_own))
        state, roots = note["complete"], list(note["roots"].values())
        same = all(os.environ.get(name) == value for name, value in note.get("variables", {}).items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    known = isinstance(state, str) and all(isinstance(root, str) for root in roots)
    return (state, roots) if known and same else None


def _is_own(found: os.stat_result) -> bool:
    """Whether a file belongs to this user or to root; Windows has no such owners."""
    if sys.platform == "win32":
        return True
    else:
        return found.st_uid in (0, os.geteuid())

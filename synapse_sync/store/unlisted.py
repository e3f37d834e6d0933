"""Unlisted: whether folders with placed files hold other files of weights, by the receipts alone. Import-light."""

from __future__ import annotations

import json
import os

from synapse_sync.core.artifact import WEIGHT_FORMATS, format_of
from synapse_sync.store.project_note import completed
from synapse_sync.store.receipt_index import directory_of
from synapse_sync.user.small_files import read_small

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from pathlib import Path


def has_unlisted(store: str | Path, key: str) -> bool:
    """Whether a folder with files of a project's last completed sync may hold weights that no receipt lists.

    True also if that cannot be known: then the files are looked at with care. `store` is its root, `key` the
    project's key.
    """
    note = completed(store, key)
    if note is None:
        return True
    try:
        return any(_in_root(root) for root in dict.fromkeys(note[1]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return True


def _in_root(root: str) -> bool:
    directory = directory_of(root)
    listed: set[str] = set()
    for name in os.listdir(directory):
        if name.startswith("receipt-") and name.endswith(".json"):
            listed |= {entry["path"] for entry in json.loads(read_small(os.path.join(directory, name)))["entries"]}
    for folder in {path.rpartition("/")[0] for path in listed}:
        below = f"{folder}/" if folder else ""
        for name in os.listdir(os.path.join(root, folder)):
            if format_of(name) in WEIGHT_FORMATS and f"{below}{name}" not in listed and not name.startswith("."):
                return True
    return False

"""Leave: remove what synapse keeps about a target in the target itself, and nothing of what it placed there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from synapse_sync.core.names import SafePath
from synapse_sync.store import journal, receipt, sidecars
from synapse_sync.store.durable import fsync_dir, remove, tree_error
from synapse_sync.store.receipt_index import APART, DIRECTORY, directory_of


def leave(root: Path, keys: Iterable[str], paths: Iterable[str]) -> bool:
    """Remove the receipts with these keys and the kept sidecars of these paths; returns whether `.synapse` is gone.

    The directory goes when no receipt of another project is left in it, and when it has no file of somebody else.
    A crash in between leaves a receipt or nothing of weight: the same call finishes it. Raises `StorageError`.
    """
    directory = Path(directory_of(str(root)))
    for path in paths:
        sidecars.forget(root, SafePath(path))
    for key in keys:
        receipt.discard(root, key)
    if any(receipt.paths(root)):
        return False
    try:
        for name in (journal.NAME, ".gitignore"):
            remove(directory / name, missing_ok=True)
        for place in (directory / "sidecars", directory):
            if not _remove_empty(place):
                return False
        if directory == root / APART:
            _remove_empty(root / DIRECTORY)
        fsync_dir(root)
    except OSError as error:
        raise tree_error(error, f"removing {directory}", root) from error
    return True


def is_left(root: Path, key: str) -> bool:
    """Whether a target has the receipt with this key, or a `.synapse` that an interrupted `leave` left there."""
    if receipt.receipt_path(root, key).exists():
        return True
    return Path(directory_of(str(root))).is_dir() and not any(receipt.paths(root))


def _remove_empty(directory: Path) -> bool:
    """Remove a directory if it is empty; returns whether it is gone. A link is not followed. Raises `OSError`."""
    if directory.is_symlink():
        return False
    if not directory.is_dir():
        return True
    if any(directory.iterdir()):
        return False
    directory.rmdir()
    return True

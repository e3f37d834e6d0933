"""Unchanged: whether a sync has nothing to do, without reading TOML, hashing models or importing much."""

from __future__ import annotations

import hashlib

from synapse_sync.store.project_note import completed
from synapse_sync.store.receipt_index import count_by_indexes
from synapse_sync.version import __version__

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def fingerprint(manifest: bytes, lockfile: bytes, settings: str, home: str) -> str:
    """The fingerprint of everything that a complete sync depended on; its receipts carry it.

    `manifest` and `lockfile` are the SHA-256 of the two files, `settings` and `home` are texts.
    """
    parts = [_digest(__version__), manifest, lockfile, _digest(settings), _digest(home)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def count_unchanged(root: str, project: str, complete: str) -> int | None:
    """The number of files as `count_by_indexes` returns it, or by the receipts where their indexes do not say."""
    if (quick := count_by_indexes(root, project, complete)) is not None:
        return quick
    from synapse_sync.store.receipt import count_by_receipts

    return count_by_receipts(root, project, complete)


def unchanged_files(
    store: str | Path, key: str, state: str, count: Callable[[str, str, str], int | None] = count_by_indexes
) -> int | None:
    """The number of files in place, if the last sync completed this state and none changed since; else None.

    `store` is its root, `key` the project's key, `state` a fingerprint. `count` returns the number of unchanged
    files in a root, or None; the default reads the receipts' indexes only.
    """
    note = completed(store, key)
    if note is None or note[0] != state:
        return None
    # Targets may share a directory: its receipts are those of all of them, and count once.
    counts = [count(root, key, state) for root in dict.fromkeys(note[1])]
    known = [files for files in counts if files is not None]
    return sum(known) if len(known) == len(counts) else None

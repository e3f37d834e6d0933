"""Fresh: is there anything to do at all? Answered without reading TOML, hashing models or importing much."""

from __future__ import annotations

import hashlib
from pathlib import Path

from synapse_sync import __version__
from synapse_sync.store.projects import read_record
from synapse_sync.store.receipt import count_unchanged


def fingerprint(manifest: bytes, lockfile: bytes, settings: str, home: str) -> str:
    """What a complete sync depended on; a receipt that carries it was written by a sync of this very state."""
    parts = [__version__.encode(), manifest, lockfile, settings.encode(), home.encode("utf-8", "surrogateescape")]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def unchanged_files(store: Path, key: str, state: str) -> int | None:
    """How many files are in place, if the last sync completed this very state and nothing moved; else None."""
    record = read_record(store, key)
    if record is None or record.complete != state:
        return None
    total = 0
    for root in record.roots.values():
        count = count_unchanged(Path(root), key, state)
        if count is None:
            return None
        total += count
    return total

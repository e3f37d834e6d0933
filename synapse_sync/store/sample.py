"""Samples: a digest of sixteen pieces of a file. It distinguishes files of one size without reading them whole.

A sample replaces the inode and the fraction of a time where these do not survive: in a layer of an image.
Whatever is to be replaced or removed is hashed all the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_PIECES, _BYTES = 16, 4096


def sample_of(path: Path) -> str:
    """The SHA-256 of the size and of evenly spread pieces of a file, in hexadecimal; raises `OSError`."""
    with path.open("rb", buffering=0) as file:
        size = file.seek(0, 2)
        digest = hashlib.sha256(str(size).encode())
        for number in range(_PIECES):
            file.seek(max(0, size - _BYTES) * number // (_PIECES - 1))
            digest.update(file.read(_BYTES))
    return digest.hexdigest()

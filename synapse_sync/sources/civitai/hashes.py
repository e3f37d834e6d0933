"""The hashes of Civitai, computed from a file.

All are look-up keys; only SHA-256 and BLAKE3 prove that two files are the same.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

from blake3 import blake3

from synapse_sync.blocks import new_block
from synapse_sync.core.digest import Digest
from synapse_sync.errors import StorageError
from synapse_sync.sources.civitai.schema import FileHashes

#: AutoV1 covers 64 KiB after the first MiB; files below 2 MiB have none.
_V1_START, _V1_END, _V1_LEAST = 0x100000, 0x110000, 0x200000
_LONGEST_HEADER = 100 << 20
_CHUNK = 1 << 20
_V1_DIGITS, _V2_DIGITS, _V3_DIGITS = 8, 10, 12


def file_hashes(path: Path) -> FileHashes:
    """Return all hashes of a file in one pass, in lower case; AutoV1 and AutoV3 may be None, as on the site."""
    sha256, fast, crc, first, tensors = hashlib.sha256(), blake3(), 0, hashlib.sha256(), hashlib.sha256()
    size, start = 0, None
    try:
        with path.open("rb", buffering=0) as file:
            block = new_block(_CHUNK)
            while count := file.readinto(block):
                chunk = block[:count]
                if not size:
                    start = _tensors_start(chunk, path.stat().st_size)
                sha256.update(chunk)
                fast.update(chunk)
                crc = zlib.crc32(chunk, crc)
                first.update(_part(chunk, size, _V1_START, _V1_END))
                if start is not None:
                    tensors.update(_part(chunk, size, start, None))
                size += len(chunk)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    digest = sha256.hexdigest()
    return FileHashes(
        autov1=first.hexdigest()[:_V1_DIGITS] if size >= _V1_LEAST else None,
        autov2=digest[:_V2_DIGITS],
        autov3=None if start is None else tensors.hexdigest()[:_V3_DIGITS],
        sha256=digest,
        crc32=f"{crc:08x}",
        blake3=fast.hexdigest(),
    )


def digests_of(hashes: FileHashes) -> tuple[Digest, ...]:
    """Return the hashes as digests; those that identify the bytes come first."""
    names = ("sha256", "blake3", "autov3", "autov2", "autov1", "crc32")
    return tuple(Digest(name, value) for name in names if (value := hashes.get(name)) is not None)


def _part(chunk: memoryview, at: int, start: int, end: int | None) -> memoryview:
    """Return the part of a chunk, which begins at `at`, between two offsets of the file."""
    return chunk[max(0, start - at) : None if end is None else max(0, end - at)]


def _tensors_start(head: memoryview, size: int) -> int | None:
    """Return the offset of the data in a safetensors file; None if it is no such file."""
    start = 8 + int.from_bytes(head[:8], "little")
    return start if len(head) > 8 and head[8] == ord("{") and start <= min(size, _LONGEST_HEADER) else None

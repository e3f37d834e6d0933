"""The digests of files at rest. The SHA-256 is the one that decides in the store, the trees and the receipts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from synapse_sync.store.durable import SHARED, narrowed

_CHUNK = 1 << 20


def hash_file(path: Path) -> str:
    """The SHA-256 of a file in lower-case hexadecimal; links are followed. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chunks(path: Path) -> Iterator[memoryview]:
    """The content of a file in pieces of a mebibyte; each piece is valid until the next one. Raises `OSError`."""
    buffer = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]


def copy_and_hash(source: Path, copy: Path, advanced: Callable[[int], None]) -> tuple[str, str]:
    """Copy a file to a new one; returns SHA-256 and BLAKE3 of the written bytes, in lower-case hexadecimal.

    `advanced` is called with the number of bytes of each piece. Raises `OSError`.
    """
    from blake3 import blake3

    digest, other = hashlib.sha256(), blake3()
    # From the first byte on, nobody reads the copy who could not read the source.
    mode = narrowed(SHARED, source.stat())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(copy, flags, mode), "wb", buffering=0) as outside:
        for chunk in chunks(source):
            digest.update(chunk)
            other.update(chunk)
            advanced(len(chunk))
            while chunk:
                chunk = chunk[outside.write(chunk) :]
    return digest.hexdigest(), other.hexdigest()


def blake3_of(path: Path, *, mapped: bool) -> str:
    """The BLAKE3 of a file; `mapped` reads it through a memory map, which a truncation meanwhile would crash."""
    from blake3 import blake3

    digest = blake3(max_threads=blake3.AUTO)
    if mapped:
        return digest.update_mmap(path).hexdigest()
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def both_of(path: Path, advanced: Callable[[int], None] = lambda count: None) -> tuple[str, str]:
    """SHA-256 and BLAKE3 of a file, read once; `advanced` hears how many more bytes were read."""
    from blake3 import blake3

    digest, other = hashlib.sha256(), blake3()
    for chunk in chunks(path):
        digest.update(chunk)
        other.update(chunk)
        advanced(len(chunk))
    return digest.hexdigest(), other.hexdigest()

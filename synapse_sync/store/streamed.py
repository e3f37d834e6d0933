"""Streamed files: bytes that arrive in one stream become a blob once all of them are right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from synapse_sync.errors import StorageError
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import READ_ONLY, remove, storage_error
from synapse_sync.store.free_space import no_room


def receive(
    store: BlobStore,
    sha256: str,
    size: int,
    pieces: Iterable[memoryview],
    *,
    origin: str | None,
    inspect: Callable[[Path], object],
) -> bool:
    """Write a stream as a blob; False if the store has it already, and only the stream was checked.

    `pieces` raises an error at its end if they do not have this digest; then nothing is published. `inspect` looks
    at the whole file before it is published, and raises to refuse it. `origin` is the reference that can give the
    bytes again. Raises `StorageError`.
    """
    if store.has(sha256):
        for _ in pieces:
            pass
        inspect(store.path(sha256))
        return False
    temp = store.home(sha256).temporary()
    words = no_room(temp.parent, size, "needed for the next file", shown=temp.parents[1])
    if words is not None:
        raise StorageError(words, hint="free some space and run it again: finished files are kept")
    try:
        blake3 = _write(temp, pieces)
        inspect(temp)
        store.publish(temp, sha256=sha256, size=size, blake3=blake3, origin=origin)
    except OSError as error:
        raise storage_error(error, f"writing {sha256[:12]}… into the store") from error
    finally:
        remove(temp, missing_ok=True)
    return True


def _write(temp: Path, pieces: Iterable[memoryview]) -> str:
    """Write all pieces to a new file; returns their BLAKE3. Raises `OSError`."""
    from blake3 import blake3

    digest = blake3()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temp, flags, READ_ONLY | 0o200), "wb", buffering=0) as file:
        for piece in pieces:
            digest.update(piece)
            rest = piece
            while rest:
                rest = rest[file.write(rest) :]
    return digest.hexdigest()

"""Outgoing: blobs that leave this machine, read in pieces from any byte on; nothing is copied on disk first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.oci import Document, PackedFile, TarLayer
from synapse_sync.errors import IntegrityError
from synapse_sync.store.durable import storage_error

#: The bytes of one piece: the memory that each blob on its way needs.
_PIECE = 1 << 20
#: Hears of each piece how many bytes it has, before it is sent; an exception ends the sending.
Advanced = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A blob to send: its SHA-256, its size in bytes, and its name for people.

    `pieces` returns its bytes from a position on; it raises `StorageError` if they cannot be read.
    """

    sha256: str
    size: int
    shown: str
    pieces: Callable[[int], Iterator[bytes]]


def outgoing_document(document: Document, shown: str) -> Outgoing:
    """A document as a blob."""
    about = document.descriptor
    return Outgoing(
        sha256=about.sha256, size=about.size, shown=shown, pieces=lambda start: iter((document.data[start:],))
    )


def outgoing_file(file: PackedFile, path: Path) -> Outgoing:
    """A file as it is; `path` is where its bytes are here. Its receiver verifies the digest."""
    return Outgoing(
        sha256=file.sha256,
        size=file.size,
        shown=file.path.text,
        pieces=lambda start: _from_file(path, file.size, start),
    )


def outgoing_layer(layer: TarLayer, paths: Mapping[str, Path], advanced: Advanced) -> Outgoing:
    """A layer of an image, read once for its digest; `paths` has where the bytes of its files are, by SHA-256.

    `advanced` hears how many more bytes were read. Raises `IntegrityError` for a file with other bytes: nobody
    after this could notice them. Raises `StorageError`.
    """
    digest, size = hashlib.sha256(), 0
    for piece in layer.pieces():
        own = hashlib.sha256()
        for data in _of_piece(piece, paths, 0):
            digest.update(data)
            own.update(data)
            size += len(data)
            advanced(len(data))
        if isinstance(piece, PackedFile) and own.hexdigest() != piece.sha256:
            raise wrong_bytes(piece.path.text)
    shown = layer.files[0].path.text if len(layer.files) == 1 else f"{len(layer.files):,} small files"
    return Outgoing(
        sha256=digest.hexdigest(), size=size, shown=shown, pieces=lambda start: _from_layer(layer, paths, start)
    )


def wrong_bytes(shown: str) -> IntegrityError:
    """The error for a file of this machine with other bytes than its digest says."""
    return IntegrityError(
        f"`{shown}` does not have the content that synapse.lock pins; nothing was published",
        hint="`synapse verify --repair` brings it again; then push once more",
    )


def _from_layer(layer: TarLayer, paths: Mapping[str, Path], start: int) -> Iterator[bytes]:
    """The bytes of an archive from a position on; what comes before is not read."""
    for piece in layer.pieces():
        size = piece.size if isinstance(piece, PackedFile) else len(piece)
        if start < size:
            yield from _of_piece(piece, paths, start)
        start = max(0, start - size)


def _of_piece(piece: bytes | PackedFile, paths: Mapping[str, Path], start: int) -> Iterator[bytes]:
    if isinstance(piece, PackedFile):
        return _from_file(paths[piece.sha256], piece.size, start)
    return iter((piece[start:],))


def _from_file(path: Path, size: int, start: int) -> Iterator[bytes]:
    """The bytes of a file from a position on, exactly as many as it is to have."""
    left = size - start
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while left > 0 and (data := file.read(min(left, _PIECE))):
                left -= len(data)
                yield data
    except OSError as error:
        raise storage_error(error, f"reading {path}") from error
    if left > 0:
        raise wrong_bytes(path.name)

"""The archive of a bundle as a stream: each member is hashed while it passes, and no more is read than promised."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

from synapse_sync.core.bundle import (
    LIST,
    MOST_TEXT,
    RECORD,
    Contents,
    Member,
    contents_text,
    damaged,
    extended_size,
    filling,
    parse_contents,
    size_in,
)
from synapse_sync.core.tar import BLOCK, file_header
from synapse_sync.errors import IntegrityError

_PIECE = 1 << 20
Bytes = bytes | memoryview


class Out(Protocol):
    """The stream or file to which an archive is written."""

    def write(self, data: Bytes, /) -> object:
        """Write bytes."""

    def flush(self) -> None:
        """Hand on what was written."""


class ArchiveWriter:
    """Writes a bundle to a stream that only moves forward. `written` counts its bytes."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self.written = 0

    def begin(self, contents: Contents) -> None:
        """Write the list, which is the first member."""
        text = contents_text(contents)
        self._write(file_header(LIST, len(text)))
        self._write(text)
        self._fill(BLOCK)

    def add(
        self,
        member: Member,
        size: int,
        pieces: Iterable[Bytes],
        advanced: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Write a member of `size` bytes; `advanced` hears how many more bytes were written.

        Raises `IntegrityError` for other bytes than the member promises: the archive is of no use then.
        """
        self._write(file_header(member.name, size))
        digest, left = hashlib.sha256(), size
        for piece in pieces:
            count = memoryview(piece).nbytes
            left -= count
            if left < 0:
                break
            digest.update(piece)
            self._write(piece)
            advanced(count)
        if left or digest.hexdigest() != member.sha256:
            raise IntegrityError(f"{member.sha256[:16]}… does not have the content of its name any more")
        self._fill(BLOCK)

    def end(self) -> None:
        """Write the end of the archive, and flush."""
        self._write(bytes(2 * BLOCK))
        self._fill(RECORD)
        self._out.flush()

    def _fill(self, unit: int) -> None:
        self._write(bytes(filling(self.written, unit)))

    def _write(self, data: Bytes) -> None:
        self._out.write(data)
        self.written += memoryview(data).nbytes


class ArchiveReader:
    """Reads a bundle from a stream that only moves forward; it may come from anybody.

    Every method raises `IntegrityError` for anything but the bytes that `ArchiveWriter` writes. One piece of a blob
    is in memory at a time. The members have to be read in the order of the list, each of them once.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._read = 0

    def contents(self) -> Contents:
        """The list; raises `IntegrityError`, too, for one of a newer format."""
        size = self._begin(LIST, MOST_TEXT)
        text = self._exactly(size)
        self._skip_zeros(filling(size))
        return parse_contents(text)

    def small(self, member: Member, most: int) -> bytes:
        """The content of a member of at most `most` bytes."""
        return b"".join(map(bytes, self.pieces(member, self.size_of(member, most))))

    def size_of(self, member: Member, most: int | None = None) -> int:
        """Read the header of the next member, and return its size in bytes; `most` bounds it."""
        return self._begin(member.name, most)

    def pieces(self, member: Member, size: int) -> Iterator[memoryview]:
        """The content of a member, whose header says `size`; in pieces.

        After the last piece raises `IntegrityError` if they are not the promised bytes.
        """
        digest, left = hashlib.sha256(), size
        while left:
            piece = memoryview(self._next(min(left, _PIECE)))
            left -= len(piece)
            digest.update(piece)
            yield piece
        if digest.hexdigest() != member.sha256:
            raise damaged(f"the bytes of `{member.name}` are not the ones that {LIST} promises")
        self._skip_zeros(filling(size))

    def end(self) -> None:
        """Read the end of the archive; nothing may follow it."""
        self._skip_zeros(2 * BLOCK)
        self._skip_zeros(filling(self._read, RECORD))
        if self._source.read(1):
            raise damaged("more bytes follow its end")

    def _begin(self, name: str, most: int | None) -> int:
        """Read the header of the member `name`, and return its size in bytes."""
        header = self._exactly(BLOCK)
        if more := extended_size(header):
            header += self._exactly(more + BLOCK)
        size = size_in(header, name)
        if most is not None and size > most:
            raise damaged(f"`{name}` has {size:,} bytes, and at most {most:,} are allowed")
        return size

    def _skip_zeros(self, count: int) -> None:
        if any(self._exactly(count)):
            raise damaged("bytes follow the end of a member")

    def _exactly(self, count: int) -> bytes:
        """The next bytes of the stream, exactly that many."""
        found = bytearray()
        while len(found) < count:
            found += self._next(min(count - len(found), _PIECE))
        return bytes(found)

    def _next(self, count: int) -> bytes:
        """Up to `count` bytes of the stream, at least one."""
        found = self._source.read(count)
        if not found:
            raise damaged(f"it ends after {self._read:,} bytes, in the middle")
        self._read += len(found)
        return found

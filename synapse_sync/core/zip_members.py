"""One member of a zip archive by the archive's directory, of a bounded size. Pure (APPNOTE.TXT 6.3.10)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

#: Reads up to `count` bytes of a file from `start` on.
Read = Callable[[int, int], bytes]
#: Bytes at the end that have the last record, whatever its comment; the most of a directory.
_TAIL, _DIRECTORY_MOST = 22 + 0xFFFF, 16 << 20
_ENTRY, _ENTRY_BYTES, _LOCAL_BYTES = b"PK\x01\x02", 46, 30
_STORED, _DEFLATED = 0, 8
_UNSAID = 0xFFFFFFFF  # the number is in the record of zip64


def member(size: int, read: Read, wanted: Callable[[str], bool], most: int) -> bytes | None:
    """The first member whose name is wanted, of at most `most` bytes; None if the archive has none.

    `size` is that of the archive in bytes, `read(start, count)` returns up to that many of them. Raises
    `ValueError` for a damaged archive, a longer member, and one that is packed in a rare way.
    """
    try:
        for name, method, packed, unpacked, at in _entries(_directory(size, read)):
            if wanted(name):
                return _content(read, method, packed, unpacked, at, most)
    except (struct.error, IndexError) as error:
        raise ValueError("its directory is damaged") from error
    return None


def _directory(size: int, read: Read) -> bytes:
    """The bytes of the archive's directory."""
    start = max(0, size - _TAIL)
    tail = read(start, _TAIL)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise ValueError("its directory at the end is missing")
    length, offset = struct.unpack_from("<II", tail, at + 12)
    if _UNSAID in (length, offset):
        (record,) = struct.unpack("<Q", read(max(0, start + at - 20), 20)[8:16])
        length, offset = struct.unpack("<QQ", read(record, 56)[40:56])
    if length > _DIRECTORY_MOST or offset > size:
        raise ValueError("its directory does not fit into it")
    return read(offset, length)


def _entries(directory: bytes) -> Iterator[tuple[str, int, int, int, int]]:
    """The members: name, method, packed size, size, and where each begins."""
    at = 0
    while directory.startswith(_ENTRY, at):
        (method,) = struct.unpack_from("<H", directory, at + 10)
        packed, unpacked, name, extra, comment = struct.unpack_from("<IIHHH", directory, at + 20)
        (start,) = struct.unpack_from("<I", directory, at + 42)
        begin = at + _ENTRY_BYTES
        more = directory[begin + name : begin + name + extra]
        unpacked, packed, start = _wide(more, [unpacked, packed, start])
        yield directory[begin : begin + name].decode("utf-8", "replace"), method, packed, unpacked, start
        at = begin + name + extra + comment


def _wide(extra: bytes, numbers: list[int]) -> list[int]:
    """The numbers, those that are too large for 32 bits from the extra field of zip64 (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            return [next(wide, number) if number == _UNSAID else number for number in numbers]
        at += 4 + length
    return numbers


def _content(read: Read, method: int, packed: int, unpacked: int, at: int, most: int) -> bytes:
    if max(packed, unpacked) > most:
        raise ValueError("its list of tensors is longer than that of a file of weights")
    name, extra = struct.unpack_from("<HH", read(at, _LOCAL_BYTES), 26)
    data = read(at + _LOCAL_BYTES + name + extra, packed)
    if len(data) < packed:
        raise ValueError("it ends too early")
    if method == _STORED:
        return data
    if method != _DEFLATED:
        raise ValueError("it is packed in a rare way")
    import zlib  # few archives of weights are packed

    try:
        return zlib.decompressobj(-15).decompress(data, most)
    except zlib.error as error:
        raise ValueError("its directory is damaged") from error

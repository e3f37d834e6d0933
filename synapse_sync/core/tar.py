"""The tar entries of deterministic archives: equal files give equal bytes, without times and owners. Pure.

The format is POSIX.1-2001 (pax): an entry with a long or non-ASCII path, or of 8 GiB and more, has a header before
its own.
"""

from __future__ import annotations

from tarfile import DIRTYPE, PAX_FORMAT, REGTYPE, SYMTYPE, TarInfo

#: Headers, and the contents of files, are multiples of this many bytes.
BLOCK = 512
#: The end of an archive.
END = bytes(2 * BLOCK)


def file_header(path: str, size: int) -> bytes:
    """The header of a file with this path and size (bytes); its content and `padding` follow."""
    return _header(path, size, mode=0o644)


def directory_header(path: str) -> bytes:
    """The header of a directory; nothing follows."""
    return _header(path, 0, mode=0o755, type=DIRTYPE)


def link_header(path: str, target: str) -> bytes:
    """The header of a symbolic link with this text; nothing follows."""
    return _header(path, 0, mode=0o777, type=SYMTYPE, target=target)


def padding(size: int) -> bytes:
    """The zeros after a content of this many bytes."""
    return bytes(-size % BLOCK)


def _header(path: str, size: int, *, mode: int, type: bytes = REGTYPE, target: str = "") -> bytes:
    entry = TarInfo(path)
    entry.size, entry.mode, entry.type, entry.linkname = size, mode, type, target
    return entry.tobuf(PAX_FORMAT, "utf-8", "surrogateescape")

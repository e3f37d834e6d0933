"""Archives as lists of members and streams of bytes: zip, tar, and tar under gzip, bzip2 or xz.

The standard library reads the formats. This module bounds how much it reads at once, and how far.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import IntegrityError, RefusedFormat

#: The largest number of entries in an archive that is accepted; archives of models have a few.
MAX_ENTRIES = 10_000
#: The unpacked size may be this many times the size of the archive; weights hardly compress at all.
MAX_RATIO = 100
#: Added to that limit (bytes): names and texts in a small archive compress well.
SLACK = 1 << 20
#: The most that is read at once (bytes): a directory or a header that claims to be longer is a trap.
_MAX_READ = 16 << 20
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
#: The openers of a tar file that is compressed as a whole, by its first bytes.
_PACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_UNREADABLE = {b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!\x1a\x07": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}
#: The errors of the standard library for bytes that are no archive.
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of an archive, `size` bytes long. `fault` says why it must not be unpacked, or is None."""

    name: str
    size: int
    fault: str | None = None
    start: int = 0


class Opened(Protocol):
    """An archive that is open for reading."""

    entries: tuple[Entry, ...]

    def read(self, chosen: Sequence[Entry]) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Yield each chosen entry with its bytes, which must be read before the next entry is requested."""
        ...


@contextlib.contextmanager
def open_archive(path: Path, subject: str) -> Iterator[Opened]:
    """Open an archive of any known kind, whatever its name.

    Raises `RefusedFormat` for other kinds and for traps, `IntegrityError` for damage, also while it is read.
    """
    try:
        with path.open("rb") as file:
            first = file.read(512)
            file.seek(0)
            yield _opened(file, first, subject, path.stat().st_size)
    except _DAMAGE as error:
        words = str(error) or type(error).__name__
        raise IntegrityError(f"`{subject}`: the archive is damaged: {words[:120]}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise IntegrityError(f"`{subject}`: the archive is damaged: {error}") from error


def _opened(file: IO[bytes], first: bytes, subject: str, size: int) -> Opened:
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _Zip(file, subject, size)
    for magic, name in _UNREADABLE.items():
        if first.startswith(magic):
            raise RefusedFormat(
                f"`{subject}` is a {name} archive, which synapse cannot unpack",
                hint="drop `extract` to have it as it is; or unpack it, and name the file as `./…`",
            )
    limit = MAX_RATIO * size + SLACK
    for magic, opener in _PACKED.items():
        if first.startswith(magic):
            return _Tar(file, opener, subject, limit)
    if first[257:262] == b"ustar":
        return _Tar(file, lambda plain: plain, subject, limit)
    raise RefusedFormat(
        f"`{subject}` is no archive that can be unpacked (zip, tar, tar.gz, tar.bz2, tar.xz)",
        hint="drop `extract`, or choose the archive",
    )


class _Bounded(io.RawIOBase):
    """A stream that never reads too much at once nor, with `limit` (bytes), too far.

    `size` is the size of the file in bytes, where it is known.
    """

    def __init__(self, file: IO[bytes], subject: str, limit: int | None = None, size: int | None = None) -> None:
        self._file = file
        self._subject = subject
        self._limit = limit
        self._size = size

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes. Raises `RefusedFormat` for a trap."""
        if size > _MAX_READ:
            raise _trap(self._subject, "its file list is implausibly long")
        data = self._file.read(size if size >= 0 else _MAX_READ)
        self._check(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset, but not beyond the limit. Raises `EOFError` for one that the file does not have."""
        if whence == 0:
            # Hazard: for an offset beyond 2^63 the system says "Invalid argument", and names no file.
            if offset < 0 or (self._size is not None and offset > self._size):
                raise EOFError(f"a part of it would begin at byte {offset:,}")
            self._check(offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def _check(self, at: int) -> None:
        if self._limit is not None and at > self._limit:
            raise _trap(self._subject, f"its content has more than {MAX_RATIO} times its size")


def _trap(subject: str, why: str) -> RefusedFormat:
    return RefusedFormat(
        f"`{subject}`: the archive is refused: {why}", hint="archives of models are never like that; ask its author"
    )


def _check_count(count: int, subject: str) -> None:
    if count > MAX_ENTRIES:
        raise _trap(subject, f"it has more than {MAX_ENTRIES:,} entries")


class _Zip:
    """A zip archive by its directory; the headers of its files must agree with that."""

    def __init__(self, file: IO[bytes], subject: str, size: int) -> None:
        self._zip = zipfile.ZipFile(_Bounded(file, subject, size=size))
        infos = self._zip.infolist()
        _check_count(len(infos), subject)
        self._infos = {number: info for number, info in enumerate(infos) if not info.is_dir()}
        self.entries = tuple(
            Entry(name=info.orig_filename, size=info.file_size, fault=_zip_fault(info), start=number)
            for number, info in self._infos.items()
        )

    def read(self, chosen: Sequence[Entry]) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Yield each chosen entry with its bytes."""
        for entry in chosen:
            with self._zip.open(self._infos[entry.start]) as stream:
                yield entry, _chunks(stream, entry.size)


def _zip_fault(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "a symbolic link"
    if kind not in (0, stat.S_IFREG):
        return "not a regular file"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted"
    # Hazard: for other methods the standard library does not bound its memory, or cannot read them.
    simple = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return None if simple else f"packed by a rare method ({info.compress_type})"


class _Tar:
    """A tar archive: one pass lists it with the offset of each file, another one reads it."""

    def __init__(self, file: IO[bytes], opener: Callable[[IO[bytes]], Any], subject: str, limit: int) -> None:
        self._file = file
        self._opener = opener
        self._subject = subject
        self._limit = limit
        found: list[Entry] = []
        count = 0
        with tarfile.open(fileobj=self._open(), mode="r:") as listing:
            for info in listing:
                _check_count(count := count + 1, subject)
                if info.size < 0:
                    raise EOFError("it has a file of negative size")
                if not info.isdir():
                    entry = Entry(name=info.name, size=info.size, fault=_tar_fault(info), start=info.offset_data)
                    found.append(entry)
        self.entries = tuple(found)

    def _open(self) -> _Bounded:
        self._file.seek(0)
        return _Bounded(self._opener(self._file), self._subject, self._limit)

    def read(self, chosen: Sequence[Entry]) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Yield each chosen entry with its bytes, in the order of the archive."""
        stream = self._open()
        for entry in sorted(chosen, key=lambda entry: entry.start):
            stream.seek(entry.start)
            yield entry, _chunks(stream, entry.size)


def _tar_fault(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "a link"
    return None if info.isreg() and not info.issparse() else "not a regular file"


def _chunks(stream: IO[bytes] | io.RawIOBase, size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes in chunks; raises `EOFError` if there are fewer."""
    left = size
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise EOFError(f"it ends {left} bytes early")
        left -= len(chunk)
        yield chunk

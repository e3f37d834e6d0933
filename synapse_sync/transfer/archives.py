"""Archives as lists of members and streams of bytes: zip, tar, and tar under gzip, bzip2 or xz.

The standard library reads the formats; how much it reads at once, and how far, is bounded here.
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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from synapse_sync.errors import IntegrityError, RefusedFormat

#: An archive with more entries is no parcel of weights.
MAX_ENTRIES = 10_000
#: How many times the size of an archive may come out of it; weights hardly shrink at all.
MAX_RATIO = 100
#: Added to that, as the names and texts in a small archive may well be mostly air.
SLACK = 1 << 20
#: The most that is read at once: a directory or a header that claims to be longer is a trap.
_MAX_READ = 16 << 20
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
#: What opens a tar file that is packed as a whole, by its first bytes.
_PACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_UNREADABLE = {b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!\x1a\x07": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}
#: What the standard library raises for bytes that are no archive.
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of an archive; `fault` says what it is where it is none that may be unpacked."""

    name: str
    size: int
    fault: str | None = None
    start: int = 0


class Opened(Protocol):
    """An archive that is open for reading."""

    entries: tuple[Entry, ...]

    def read(self, chosen: Sequence[Entry]) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Each of the chosen entries with its bytes, which must be read before the next entry is asked for."""
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
        return _Zip(file, subject)
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
    """A stream that reads neither too much at once nor, with `limit`, too far."""

    def __init__(self, file: IO[bytes], subject: str, limit: int | None = None) -> None:
        self._file = file
        self._subject = subject
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        if size > _MAX_READ:
            raise _trap(self._subject, "its directory is larger than that of any parcel of weights")
        data = self._file.read(size if size >= 0 else _MAX_READ)
        self._check(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, but not beyond the limit."""
        if whence == 0:
            self._check(offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def _check(self, at: int) -> None:
        if self._limit is not None and at > self._limit:
            raise _trap(self._subject, f"more than {MAX_RATIO} times its size comes out of it")


def _trap(subject: str, why: str) -> RefusedFormat:
    return RefusedFormat(
        f"`{subject}`: the archive is refused: {why}", hint="no weights are packed like that; ask whoever made it"
    )


def _check_count(count: int, subject: str) -> None:
    if count > MAX_ENTRIES:
        raise _trap(subject, f"it has more than {MAX_ENTRIES:,} entries")


class _Zip:
    """A zip archive, by its directory; the file's own headers must agree with it."""

    def __init__(self, file: IO[bytes], subject: str) -> None:
        self._zip = zipfile.ZipFile(_Bounded(file, subject))
        infos = self._zip.infolist()
        _check_count(len(infos), subject)
        self._infos = {number: info for number, info in enumerate(infos) if not info.is_dir()}
        self.entries = tuple(
            Entry(name=info.orig_filename, size=info.file_size, fault=_zip_fault(info), start=number)
            for number, info in self._infos.items()
        )

    def read(self, chosen: Sequence[Entry]) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Each of the chosen entries with its bytes."""
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
    # With the others the standard library does not bound how much it holds in memory, or cannot read them.
    simple = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return None if simple else f"packed by a rare method ({info.compress_type})"


class _Tar:
    """A tar archive: listed in one pass, which tells where each file begins, and read in another."""

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
                if not info.isdir():
                    entry = Entry(name=info.name, size=info.size, fault=_tar_fault(info), start=info.offset_data)
                    found.append(entry)
        self.entries = tuple(found)

    def _open(self) -> _Bounded:
        self._file.seek(0)
        return _Bounded(self._opener(self._file), self._subject, self._limit)

    def read(self, chosen: Sequence[Entry]) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Each of the chosen entries with its bytes, in the order of the archive."""
        stream = self._open()
        for entry in sorted(chosen, key=lambda entry: entry.start):
            stream.seek(entry.start)
            yield entry, _chunks(stream, entry.size)


def _tar_fault(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "a link"
    return None if info.isreg() and not info.issparse() else "not a regular file"


def _chunks(stream: IO[bytes] | io.RawIOBase, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes; raises `EOFError` where there are fewer."""
    left = size
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise EOFError(f"it ends {left} bytes early")
        left -= len(chunk)
        yield chunk

"""Clones on Windows: ReFS (and a Dev Drive) shares the blocks of a file with a new one.

The steps are those of "Block cloning" in the documentation of Windows. The new file gets its length and the same
sparse and integrity settings first, then its blocks in pieces (`FSCTL_DUPLICATE_EXTENTS_TO_FILE`, winioctl.h).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

#: One request may share less than 4 GiB.
_MOST = 1 << 30


def pieces(size: int, cluster: int) -> Iterator[tuple[int, int]]:
    """The offset and length of each piece of a file of `size` bytes; all are multiples of `cluster`.

    The last piece may reach beyond the end of the file, which Windows permits.
    """
    step = max(cluster, _MOST // cluster * cluster)
    for start in range(0, size, step):
        rest = min(step, size - start)
        yield start, -(-rest // cluster) * cluster


if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _SHARES_BLOCKS = 0x08000000  # winnt.h: FILE_SUPPORTS_BLOCK_REFCOUNTING
    _DUPLICATE_EXTENTS, _SET_SPARSE = 0x00098344, 0x000900C4  # winioctl.h: FSCTL_…
    _GET_INTEGRITY, _SET_INTEGRITY = 0x0009027C, 0x0009C280
    _SPARSE = 0x200  # winnt.h: FILE_ATTRIBUTE_SPARSE_FILE
    #: CHECKSUM_ALGORITHM, reserved, flags, and what only the answer has: chunk and cluster size.
    _INTEGRITY, _INTEGRITY_SET = 16, 8

    class _Extents(ctypes.Structure):
        """DUPLICATE_EXTENTS_DATA (winioctl.h)."""

        _fields_ = (
            ("source", wintypes.HANDLE),
            ("source_offset", ctypes.c_int64),
            ("target_offset", ctypes.c_int64),
            ("count", ctypes.c_int64),
        )

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.GetVolumeInformationByHandleW.argtypes = (
        wintypes.HANDLE, wintypes.LPWSTR, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p,
        ctypes.POINTER(wintypes.DWORD), wintypes.LPWSTR, wintypes.DWORD,
    )  # fmt: skip
    _kernel.DeviceIoControl.argtypes = (
        wintypes.HANDLE, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD,
        ctypes.POINTER(wintypes.DWORD), ctypes.c_void_p,
    )  # fmt: skip
    _kernel.GetDiskFreeSpaceW.argtypes = (wintypes.LPCWSTR, *(ctypes.POINTER(wintypes.DWORD),) * 4)

    def clone(source: Path, copy: Path) -> None:
        """Make `copy`, a new file that shares its blocks with `source`; on an error it may be left, empty.

        Raises `OSError`: ENOTSUP where the file system has no clones, EXDEV between two volumes, EEXIST.
        """
        found = source.stat()
        if found.st_dev != copy.parent.stat().st_dev:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(copy))
        with source.open("rb") as theirs:
            whence = msvcrt.get_osfhandle(theirs.fileno())
            _check(whence, copy)
            cluster = _cluster_size(copy)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_BINARY
            with os.fdopen(os.open(copy, flags), "r+b", buffering=0) as ours:
                whither = msvcrt.get_osfhandle(ours.fileno())
                if found.st_file_attributes & _SPARSE:
                    _control(whither, _SET_SPARSE, None, copy)
                integrity = ctypes.create_string_buffer(_INTEGRITY)
                _control(whence, _GET_INTEGRITY, None, copy, integrity)
                settings = ctypes.create_string_buffer(integrity.raw[:_INTEGRITY_SET], _INTEGRITY_SET)
                _control(whither, _SET_INTEGRITY, settings, copy)
                ours.truncate(found.st_size)
                for start, count in pieces(found.st_size, cluster):
                    _control(whither, _DUPLICATE_EXTENTS, _Extents(whence, start, start, count), copy)

    def _check(handle: int, path: Path) -> None:
        """Raise `OSError` (ENOTSUP) where the volume of an open file shares no blocks."""
        flags = wintypes.DWORD()
        known = _kernel.GetVolumeInformationByHandleW(handle, None, 0, None, None, ctypes.byref(flags), None, 0)
        if not known or not flags.value & _SHARES_BLOCKS:
            raise OSError(errno.ENOTSUP, "cloning is not supported here", str(path))

    def _cluster_size(path: Path) -> int:
        sectors, size, free, total = (wintypes.DWORD() for _ in range(4))
        where = f"{path.resolve().anchor}"
        if not _kernel.GetDiskFreeSpaceW(where, *map(ctypes.byref, (sectors, size, free, total))):
            raise _failure(path)
        return sectors.value * size.value

    def _control(
        handle: int, code: int, given: ctypes._CData | None, path: Path, answer: ctypes._CData | None = None
    ) -> None:
        """Send one request about an open file to its file system; raises `OSError`."""
        count = wintypes.DWORD()
        parts = [(None, 0) if it is None else (ctypes.byref(it), ctypes.sizeof(it)) for it in (given, answer)]
        if not _kernel.DeviceIoControl(handle, code, *parts[0], *parts[1], ctypes.byref(count), None):
            raise _failure(path)

    def _failure(path: Path) -> OSError:
        code = ctypes.get_last_error()
        return OSError(None, ctypes.FormatError(code).strip(), str(path), code)

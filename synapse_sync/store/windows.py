"""The steps on files that only Windows needs: read-only files, files in use, and lines of several writers.

`durable.py` calls them. The plain calls come first. If Windows refuses one, the way of Windows 10 follows: it keeps
the read-only mark of a blob when another name of it is removed. Older file systems (FAT, exFAT, some shares) lack
that way. Most of them lack hard links, too, so the mark can be removed first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    #: How long (seconds) a file in use is waited for, step by step: scanners and indexers let go of it at once.
    _PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16)
    _DELETE, _READ_ATTRIBUTES, _WRITE = 0x10000, 0x80, 0x40000000
    _SHARE_ALL, _OPEN_EXISTING = 7, 3
    #: LOCKFILE_EXCLUSIVE_LOCK; the upper half of an offset that no file of synapse reaches.
    _EXCLUSIVE, _FAR = 0x2, 0x4000_0000
    #: FILE_FLAG_BACKUP_SEMANTICS opens directories, too; FILE_FLAG_OPEN_REPARSE_POINT opens a link itself.
    _ITSELF = 0x02000000 | 0x00200000
    _ACCESS_DENIED, _SHARING, _LOCKED, _MAPPED = 5, 32, 33, 1224
    #: Not supported by this Windows or by this file system: invalid function, parameter, level, not supported.
    _UNKNOWN = {1, 50, 87, 124}
    _DISPOSITION_EX, _RENAME_EX = 21, 22
    #: Delete; the name goes at once; a read-only file, too (winnt.h: FILE_DISPOSITION_FLAG_…).
    _REMOVE = 0x1 | 0x2 | 0x10
    #: Replace; also a file that is open; a read-only file, too (winnt.h: FILE_RENAME_FLAG_…).
    _REPLACE = 0x1 | 0x2 | 0x40

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.CreateFileW.restype = wintypes.HANDLE
    _kernel.CreateFileW.argtypes = (
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        ctypes.c_void_p,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.HANDLE,
    )
    _kernel.SetFileInformationByHandle.argtypes = (
        wintypes.HANDLE,
        ctypes.c_int,
        ctypes.c_void_p,
        wintypes.DWORD,
    )
    _kernel.FlushFileBuffers.argtypes = (wintypes.HANDLE,)
    _kernel.LockFileEx.argtypes = (
        wintypes.HANDLE,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.DWORD,
        ctypes.c_void_p,
    )
    _kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    _kernel.UnlockFileEx.argtypes = (
        wintypes.HANDLE,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.DWORD,
        ctypes.c_void_p,
    )
    _NO_HANDLE = wintypes.HANDLE(-1).value

    def remove(path: Path, *, missing_ok: bool = False) -> None:
        """Unlink a file, a read-only one, too; raises `OSError`, with `EBUSY` for a file in use."""
        try:
            _insist(lambda: path.unlink(missing_ok=missing_ok), lambda: _remove(path), path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def replace(source: Path, destination: Path) -> None:
        """Rename over another file, a read-only one, too; raises `OSError`, with `EBUSY` for a file in use."""
        _insist(lambda: source.replace(destination), lambda: _replace(source, destination), destination)

    def flush_directory(path: Path) -> None:
        """Flush the names in a directory; where Windows refuses that, they follow in their order by themselves."""
        with contextlib.suppress(OSError), _Handle(path, _WRITE) as handle:
            _kernel.FlushFileBuffers(handle)

    @contextlib.contextmanager
    def alone_at(handle: int) -> Iterator[None]:
        """Be the only writer of an open file: at its end, Windows looks for that and writes in two steps.

        `handle` is a descriptor. The lock is on one byte far behind the end, so that nobody is kept from reading;
        it ends with the handle at the latest. A share that has no locks is written to without.
        """

        class Overlapped(ctypes.Structure):
            """OVERLAPPED (minwinbase.h): the offset of the byte."""

            _fields_ = (
                ("internal", ctypes.c_size_t),
                ("internal_high", ctypes.c_size_t),
                ("offset", wintypes.DWORD),
                ("offset_high", wintypes.DWORD),
                ("event", wintypes.HANDLE),
            )

        where = Overlapped(offset=0, offset_high=_FAR)
        file = msvcrt.get_osfhandle(handle)
        locked = _kernel.LockFileEx(file, _EXCLUSIVE, 0, 1, 0, ctypes.byref(where))
        try:
            yield
        finally:
            if locked:
                _kernel.UnlockFileEx(file, 0, 1, 0, ctypes.byref(where))

    def _insist(plain: Callable[[], object], thorough: Callable[[], None], path: Path) -> None:
        """Take the plain step, else the thorough one; while the file is in use, try again for a moment."""
        for pause in (*_PAUSES, None):
            try:
                plain()
                return
            except PermissionError as error:
                if _is_directory(path):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path)) from error
            try:
                thorough()
                return
            except PermissionError as error:
                if not _is_in_use(path, error):
                    raise
                if pause is None:
                    raise OSError(errno.EBUSY, "in use by another program", str(path)) from error
                time.sleep(pause)

    def _remove(path: Path) -> None:
        with _Handle(path, _DELETE | _READ_ATTRIBUTES) as handle:
            flags = wintypes.DWORD(_REMOVE)
            code = _set(handle, _DISPOSITION_EX, flags)
        if code in _UNKNOWN:
            _without_mark(path, path.unlink)
        elif code:
            raise _error(code, path)

    def _replace(source: Path, destination: Path) -> None:
        text = os.path.abspath(destination)  # noqa: PTH100 - resolve() would follow a link that is to be replaced

        class Rename(ctypes.Structure):
            """FILE_RENAME_INFO (winbase.h)."""

            _fields_ = (
                ("flags", wintypes.DWORD),
                ("root", wintypes.HANDLE),
                ("length", wintypes.DWORD),
                ("name", wintypes.WCHAR * (len(text) + 1)),
            )

        with _Handle(source, _DELETE | _READ_ATTRIBUTES) as handle:
            code = _set(handle, _RENAME_EX, Rename(_REPLACE, None, len(text.encode("utf-16-le")), text))
        if code in _UNKNOWN:
            _without_mark(destination, lambda: source.replace(destination))
        elif code:
            raise _error(code, destination)

    def _without_mark(path: Path, step: Callable[[], object]) -> None:
        """Do a step on a file that is not read-only meanwhile; if the step fails, the file is as it was."""
        mode = path.lstat().st_mode
        if mode & stat.S_IWRITE:
            step()
            return
        path.chmod(mode | stat.S_IWRITE)
        try:
            step()
        except OSError:
            path.chmod(mode)
            raise

    def _set(handle: int, level: int, value: ctypes._CData) -> int:
        """Set a property of an open file; returns 0 or the code of the error."""
        if _kernel.SetFileInformationByHandle(handle, level, ctypes.byref(value), ctypes.sizeof(value)):
            return 0
        return ctypes.get_last_error()

    def _is_directory(path: Path) -> bool:
        try:
            return stat.S_ISDIR(path.lstat().st_mode)
        except OSError:
            return False

    def _is_in_use(path: Path, error: OSError) -> bool:
        """Whether a refusal says that another program uses the file, and not that this user may not do it.

        Replacing a file in use is "access denied", too. A file that can be opened for its removal may be removed:
        then the reason is that it is mapped into memory.
        """
        if error.winerror in (_SHARING, _LOCKED, _MAPPED):
            return True
        try:
            with _Handle(path, _DELETE):
                return error.winerror == _ACCESS_DENIED
        except OSError as other:
            return other.winerror in (_SHARING, _LOCKED, _MAPPED)

    def _error(code: int, path: Path) -> OSError:
        return OSError(None, ctypes.FormatError(code).strip(), str(path), code)

    class _Handle:
        """An open file or directory, itself and not what a link leads to; shared with everybody."""

        def __init__(self, path: Path, access: int) -> None:
            self._path, self._access = path, access

        def __enter__(self) -> int:
            found: int | None = _kernel.CreateFileW(
                str(self._path), self._access, _SHARE_ALL, None, _OPEN_EXISTING, _ITSELF, None
            )
            if found == _NO_HANDLE or found is None:
                raise _error(ctypes.get_last_error(), self._path)
            self._handle = found
            return found

        def __exit__(self, *exc: object) -> None:
            _kernel.CloseHandle(self._handle)

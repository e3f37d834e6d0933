"""A shim between the package and the system: counts every call that changes files below some roots, and at the n-th
one kills the process, fails, writes less than it should, or stops. For processes of their own: it is never undone.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

#: Calls by the place of their paths (or file handles) among the arguments.
_BY_PATH = {
    "rename": 2, "replace": 2, "link": 2, "symlink": 2, "unlink": 1, "remove": 1, "mkdir": 1, "rmdir": 1,
    "truncate": 1, "chmod": 1, "utime": 1,
}  # fmt: skip
_BY_HANDLE = ("write", "pwrite", "ftruncate", "fsync", "fdatasync", "fchmod")
#: What needs room on the disk; removing and syncing works on a full one.
_NEEDS_ROOM = {"open", "write", "pwrite", "mkdir", "link", "symlink", "rename", "replace"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Fault:
    """What happens at which call. `kind` is one of

    `count` (nothing), `before` and `after` (SIGKILL), `short` (half of a write), `stop` (SIGSTOP; `told` is called
    first), the name of a signal (`SIGINT`) or of an error (`ENOSPC`). With `forever` an error comes at every
    later call, too: a full disk stays full, but things can be removed from it. With `power`, fsync is really done.
    """

    def __init__(
        self,
        kind: str = "count",
        at: int = 0,
        *,
        forever: bool = False,
        power: bool = False,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self.kind = kind
        self.at = at
        self.forever = forever
        self.power = power
        self.told = told


class Shim:
    """The calls of this process, counted."""

    def __init__(self, fault: Fault, *roots: str) -> None:
        self.calls: list[str] = []
        self._fault = fault
        self._roots = roots
        self._lock = threading.RLock()
        self._real = {name: getattr(os, name) for name in (*_BY_PATH, *_BY_HANDLE, "open")}
        self._real_open = io.open

    def install(self) -> None:
        """Put the shim in place."""
        for name, count in _BY_PATH.items():
            setattr(os, name, self._by_path(name, count))
        for name in _BY_HANDLE:
            setattr(os, name, self._by_handle(name))
        os.open = self._os_open
        io.open = builtins.open = self._io_open

    # -- the calls -----------------------------------------------------------------------------------

    def _by_path(self, name: str, count: int) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if not any(self._concerns(path) for path in arguments[:count]):
                return self._real[name](*arguments, **more)
            return self._pass(name, arguments[0], lambda: self._real[name](*arguments, **more))

        return call

    def _by_handle(self, name: str) -> Callable[..., Any]:
        def call(handle: int, *arguments: Any) -> Any:
            path = _path_of(handle)
            if not self._concerns(path):
                return self._real[name](handle, *arguments)
            if name in ("fsync", "fdatasync") and not self._fault.power:  # counting it is enough
                return self._pass(name, path, lambda: None)
            half: Callable[[], Any] | None = None
            if name in ("write", "pwrite") and len(arguments[0]) > 1:
                data = memoryview(arguments[0])
                half = lambda: self._real[name](handle, data[: len(data) // 2], *arguments[1:])  # noqa: E731
            return self._pass(name, path, lambda: self._real[name](handle, *arguments), half)

        return call

    def _os_open(self, path: Any, flags: int, *arguments: Any, **more: Any) -> int:
        if not flags & _WRITES or not self._concerns(path):
            return self._real["open"](path, flags, *arguments, **more)
        return self._pass("open", path, lambda: self._real["open"](path, flags, *arguments, **more))

    def _io_open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        path = _path_of(file) if isinstance(file, int) else file
        if not set(mode) & set("wxa+") or not self._concerns(path):
            return self._real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        plain = mode.replace("b", "").replace("t", "")
        make = lambda: _File(self, file, plain, closefd)  # noqa: E731
        raw = make() if isinstance(file, int) else self._pass("open", path, make)
        if buffering == 0:
            return raw
        if "b" in mode:
            return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, newline)

    # -- what happens ----------------------------------------------------------------------------------

    def _concerns(self, path: Any) -> bool:
        return not isinstance(path, int) and os.path.abspath(os.fsdecode(path)).startswith(self._roots)

    def _pass(self, name: str, path: Any, real: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        with self._lock:
            self.calls.append(f"{name} {os.fsdecode(path)}")
            number = len(self.calls)
        fault = self._fault
        due = number == fault.at
        if fault.forever and number > fault.at and name in _NEEDS_ROOM:
            due = True
        if not due:
            return real()
        match fault.kind:
            case "before":
                os.kill(os.getpid(), signal.SIGKILL)
            case "after":
                with contextlib.suppress(OSError):
                    real()
                os.kill(os.getpid(), signal.SIGKILL)
            case "short":
                return half() if half is not None else real()
            case "stop":
                fault.told()
                os.kill(os.getpid(), signal.SIGSTOP)
            case word if word.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, word))
            case word if word != "count":
                number = getattr(errno, word)
                raise OSError(number, os.strerror(number), os.fsdecode(path))
        return real()

    def write(self, path: str, data: Any, write: Callable[[Any], int | None]) -> int | None:
        """One write through a file object."""
        half = (lambda: write(memoryview(data)[: len(data) // 2])) if len(data) > 1 else None
        written: int | None = self._pass("write", path, lambda: write(data), half)
        return written


class _File(io.FileIO):
    """A file whose writes are counted."""

    def __init__(self, shim: Shim, file: Any, mode: str, closefd: bool) -> None:
        super().__init__(file, mode, closefd)
        self._shim = shim
        self._path = _path_of(self.fileno())

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        return self._shim.write(self._path, data, super().write)


def _path_of(handle: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{handle}")
    except OSError:
        return ""

"""Writeback: the disk begins with a large file while the rest still comes, so that little is left for the fsync."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import cache

from synapse_sync.threads import begin

#: Bytes that are written between two requests to the kernel.
_EVERY = 16 << 20
#: Start to write what is dirty, and wait for nothing (`man 2 sync_file_range`).
_WRITE = 2


class Writeback:
    """Asks the kernel to write a file that grows; `wrote` may be called from several threads.

    `start` is such a request, for an open file, and returns whether the kernel accepts it. It may take as long as
    the disk needs, so a thread of its own makes it: bytes go on to arrive while a disk pauses. Hazard: it makes
    nothing durable, and no error shows. The kernel keeps an error for the fsync, which decides.
    """

    def __init__(self, start: Callable[[int], bool] | None = None) -> None:
        self._start = start or start_writing
        self._waiting = 0
        self._useless = False
        self._asking: threading.Thread | None = None
        self._lock = threading.Lock()

    def wrote(self, handle: int, count: int) -> None:
        """Note `count` bytes more in the open file `handle`."""
        with self._lock:
            self._waiting += count
            if self._waiting < _EVERY or self._useless or (self._asking is not None and self._asking.is_alive()):
                return
            self._waiting = 0
            # Hazard: the number of a closed file may soon be that of another one, so the thread has its own.
            try:
                own = os.dup(handle)
            except OSError:  # no more open files: the fsync does all of it
                return
            asking = threading.Thread(target=self._ask, args=(own,), name="synapse-writeback", daemon=True)
            if not begin(asking):  # no more threads: the fsync does all of it
                os.close(own)
                return
            self._asking = asking

    def _ask(self, own: int) -> None:
        try:
            self._useless = not self._start(own)
        finally:
            os.close(own)

    def settle(self) -> None:
        """Wait until no request is under way, so that the file is not kept open."""
        if (asking := self._asking) is not None:
            asking.join()


def start_writing(handle: int) -> bool:
    """Ask the kernel to begin with what an open file lacks on the disk; whether it accepted that."""
    function = _sync_file_range()
    # From the beginning to the end: the kernel finds what is dirty by itself.
    return function is not None and function(handle, 0, 0, _WRITE) == 0


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """The function of the system's library; None where there is none: not on Linux, or no library to load."""
    if sys.platform == "linux":
        try:
            import ctypes  # not in every Python

            function = ctypes.CDLL(None).sync_file_range
        except (ImportError, OSError, AttributeError):
            return None
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
        function.restype = ctypes.c_int
        found: Callable[[int, int, int, int], int] = function
        return found
    else:
        return None

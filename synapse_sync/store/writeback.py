"""Writeback: the disk begins with a large file while the rest still comes, so that little is left for the fsync."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import cache

#: Bytes that are written between two requests to the kernel.
_EVERY = 16 << 20
#: Start to write what is dirty, and wait for nothing (`man 2 sync_file_range`).
_WRITE = 2


class Writeback:
    """Asks the kernel to write a file that grows; `wrote` may be called from several threads.

    `start` is such a request, for an open file. Hazard: it makes nothing durable, and no error shows. The kernel
    keeps an error for the fsync, which decides.
    """

    def __init__(self, start: Callable[[int], object] | None = None) -> None:
        self._start = start or start_writing
        self._waiting = 0
        self._lock = threading.Lock()

    def wrote(self, handle: int, count: int) -> None:
        """Note `count` bytes more in the open file `handle`."""
        with self._lock:
            self._waiting += count
            if self._waiting < _EVERY:
                return
            self._waiting = 0
        self._start(handle)


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

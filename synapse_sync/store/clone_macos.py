"""Clones on macOS: APFS shares the blocks of a file with a new one (`clonefile`, sys/clonefile.h)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

#: The clone belongs to the user who makes it, not to the owner of the source (CLONE_NOOWNERCOPY).
_OWN = 0x2


def clone(source: Path, copy: Path) -> None:
    """Make `copy`, a new file that shares its blocks with `source` and has its mode.

    Raises `OSError`: ENOTSUP where the file system has no clones, EXDEV between two file systems, EEXIST.
    """
    if clonefile()(os.fsencode(source), os.fsencode(copy), _OWN):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(copy))


def clonefile() -> Callable[[bytes, bytes, int], int]:
    """The function of the system's library; raises `AttributeError` where it has none."""
    function = ctypes.CDLL(None, use_errno=True).clonefile
    function.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint32)
    function.restype = ctypes.c_int
    found: Callable[[bytes, bytes, int], int] = function
    return found

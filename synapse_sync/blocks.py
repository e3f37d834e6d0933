"""Blocks: memory that large files and bodies are read into.

Hazard: Python's own buffers begin some bytes after a multiple of 64. The kernel copies into those with `rep movsb`,
which is up to three times slower then on common processors: slower than the SHA-256.
"""

from __future__ import annotations

#: Below this size (bytes) a map of memory costs more than its place saves.
_LEAST = 64 << 10


def new_block(size: int) -> memoryview:
    """Return `size` bytes of writable memory, filled with zeros; a large block begins at the start of a page.

    Where the module for that cannot be loaded, it begins anywhere, and is only slower.

    Raises `OSError` or `MemoryError` where no memory is left.
    """
    if size < _LEAST:
        return memoryview(bytearray(size))
    try:
        import mmap  # here: a run without anything to read has no use for it
    except ImportError:  # hazard: so does the system say that no file handle is left for a compiled module
        return memoryview(bytearray(size))
    return memoryview(mmap.mmap(-1, size))

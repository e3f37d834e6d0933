"""Small files of repositories on this machine, by git's own hash: all that a hub's listing says of them.

A lock needs their SHA-256. Where the bytes are here, they are hashed here and not downloaded. The files are read,
never changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

#: The hub keeps larger files (in bytes) outside of git, and lists their SHA-256.
_LARGEST = 16 << 20


class GitFiles:
    """Files found by size and then by git's hash of their content.

    `blobs` returns the files of the store, each with its size in bytes; `others` returns further files of a size.
    """

    def __init__(
        self, blobs: Callable[[], Iterable[tuple[Path, int]]], others: Callable[[int], Iterable[Path]]
    ) -> None:
        self._blobs = blobs
        self._others = others
        self._known: dict[Path, str | None] = {}

    def find(self, git_sha1: str, size: int) -> Iterator[Path]:
        """Yield the files with this hash (40 hexadecimal digits) and size; unreadable ones are passed over."""
        if not 0 < size <= _LARGEST:
            return
        for path in (*self._by_size.get(size, ()), *self._others(size)):
            if self._hash(path) == git_sha1:
                yield path

    def _hash(self, path: Path) -> str | None:
        """Git's hash of a file, which is read once; None if it cannot be read."""
        if path not in self._known:
            try:
                self._known[path] = git_hash(path.read_bytes())
            except OSError:
                self._known[path] = None
        return self._known[path]

    @cached_property
    def _by_size(self) -> dict[int, list[Path]]:
        found: dict[int, list[Path]] = {}
        for path, size in self._blobs():
            if size <= _LARGEST:
                found.setdefault(size, []).append(path)
        return found


def git_hash(content: bytes) -> str:
    """Git's SHA-1 of the content of a file: that of a header with its length, and the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

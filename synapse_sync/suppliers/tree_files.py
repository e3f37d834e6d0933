"""The files in the targets' own folders: a model that the user has under another name need not be downloaded.

They are read, never changed: their bytes go into the store as clones or copies.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from synapse_sync.store.known_digests import KnownDigests

#: The most entries of directories that one look takes in, two seconds' work; a file beyond them is downloaded.
MOST_ENTRIES = 200_000
_OF_THE_KERNEL = ("/proc", "/sys")


class TreeFiles:
    """The files below some folders, found by size and then by content.

    `folders` are directories, each with whether those below it count, too; they need not exist. `digests` remembers
    the content of large files.
    """

    def __init__(self, folders: Iterable[tuple[Path, bool]], digests: KnownDigests) -> None:
        self._folders = dict(folders)
        self._digests = digests

    def find(self, sha256: str, size: int) -> Path | None:
        """A file with these bytes, or None; files that cannot be read are passed over."""
        for path in self.of_size(size):
            try:
                if self._digests.of(path) == sha256:
                    return path
            except OSError:
                continue
        return None

    def of_size(self, size: int) -> Iterator[Path]:
        """Yield the files of this size in bytes; none of the empty ones."""
        return map(Path, self._by_size.get(size, ()) if size else ())

    def save(self) -> None:
        """Keep the digests that were learned, for other commands; raises `StorageError`."""
        self._digests.save()

    @cached_property
    def _by_size(self) -> dict[int, list[str]]:
        """The paths of all files by their size in bytes, from one look at the folders."""
        found: dict[int, list[str]] = {}
        for path, size in files_below(self._folders, MOST_ENTRIES):
            found.setdefault(size, []).append(path)
        return found


def files_below(
    folders: Mapping[Path, bool], most: int, unread: Callable[[str, OSError], None] = lambda folder, error: None
) -> Iterator[tuple[str, int]]:
    """The files in some folders with their sizes; links are followed, and no directory is listed twice.

    `folders` says for each whether those below it count, too. `unread` hears of a directory that exists and cannot
    be listed. The nearest come first, and the look ends after
    `most` entries. A link may lead to a disk with millions of files, or to the root of the file system.
    """
    seen: set[str] = set()
    waiting = deque((str(folder), deep) for folder, deep in sorted(folders.items()))
    while waiting and most > 0:
        folder, deep = waiting.popleft()
        real = os.path.realpath(folder)
        if real in seen or _is_of_the_kernel(real):
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)[:most]
        except FileNotFoundError:
            continue
        except OSError as error:
            unread(folder, error)
            continue
        most -= len(entries)
        for entry in entries:
            if entry.name.startswith("."):  # of tools, synapse's own among them
                continue
            try:
                if entry.is_dir():
                    if deep:
                        waiting.append((entry.path, True))
                elif entry.is_file():
                    yield entry.path, entry.stat().st_size
            except OSError:  # gone meanwhile, or a link in a circle
                continue


def _is_of_the_kernel(real: str) -> bool:
    """Whether a directory shows the state of the running system; its files are none, and some never end."""
    return any(real == place or real.startswith(f"{place}/") for place in _OF_THE_KERNEL)

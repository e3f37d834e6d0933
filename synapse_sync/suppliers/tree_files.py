"""The files in the targets' own folders: a model that the user has under another name need not be downloaded.

They are read, never changed: their bytes go into the store as clones or copies.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from synapse_sync.store.known_digests import KnownDigests

#: Files that are looked at in all: a link may lead to the root of a disk, whose listing costs minutes and memory.
_MOST = 200_000


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
        if not size:
            return None
        for path in map(Path, self._by_size.get(size, ())):
            try:
                if self._digests.of(path) == sha256:
                    return path
            except OSError:
                continue
        return None

    def save(self) -> None:
        """Keep the digests that were learned, for other commands; raises `StorageError`."""
        self._digests.save()

    @cached_property
    def _by_size(self) -> dict[int, list[str]]:
        """All files by their size in bytes, from one look at the folders."""
        found: dict[int, list[str]] = {}
        seen: set[str] = set()
        folders = sorted(self._folders.items())
        files = (file for folder, deep in folders for file in _files(str(folder), seen, deep=deep))
        for path, size in islice(files, _MOST):
            found.setdefault(size, []).append(path)
        return found


def _files(folder: str, seen: set[str], *, deep: bool) -> Iterator[tuple[str, int]]:
    """The files below a folder with their sizes; links are followed, and no directory is listed twice."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):  # of tools, synapse's own among them
            continue
        try:
            if entry.is_dir():
                if deep:
                    yield from _files(entry.path, seen, deep=True)
            elif entry.is_file():
                yield entry.path, entry.stat().st_size
        except OSError:  # gone meanwhile, or a link in a circle
            continue

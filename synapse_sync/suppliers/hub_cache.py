"""The cache of the Hugging Face libraries: its files need not be downloaded. It is read, never written to.

Files go from there into the store as clones or copies, never as hard links. Hazard: blobs are read-only and may be
hard linked into trees. With a shared inode, the store would change the mode of the cache's file, and a program that
writes into a tree would change its bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from synapse_sync.core.digest import is_git_sha1, is_sha256
from synapse_sync.core.reference import Reference

_KINDS = ("models", "datasets", "spaces")


class HubCache:
    """The cache below the directory `root`, as `huggingface_hub` fills it; it need not exist, None is no cache."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def files(self, digest: str, size: int | None, places: Iterable[Reference]) -> Iterator[Path]:
        """Yield files that may have these bytes, by name, location and size; the caller must hash them.

        The cache names weights by their SHA-256, in every repository, and files that git stores by git's hash:
        `digest` is one of the two. The others are found in the snapshots of the commits that `places` name. `size`
        is in bytes, None is any.
        """
        seen: set[str] = set()
        for path in (*self._blobs.get(digest, ()), *self._snapshots(places)):
            try:
                # Snapshots are links to blobs, and these may be links into a part that repositories share.
                real = os.path.realpath(path, strict=True)
                found = os.stat(real)  # noqa: PTH116 - of a text
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode) and size in (None, found.st_size) and real not in seen:
                seen.add(real)
                yield Path(real)

    def reference_of(self, sha256: str) -> Reference | None:
        """The file of a repository, at a commit, that the cache has under this SHA-256; None if it has none."""
        for blob in self._blobs.get(sha256, ()):
            kind, *name = blob.parent.parent.name.split("--")
            for commit in _entries(blob.parent.parent / "snapshots"):
                for path in commit.rglob("*"):
                    if path.is_symlink() and os.path.basename(os.path.realpath(path)) == sha256:  # noqa: PTH119
                        repository = "/".join(name) if kind == "models" else "/".join((kind, *name))
                        file = path.relative_to(commit).as_posix()
                        return Reference(source="huggingface", id=repository, revision=commit.name, file=file)
        return None

    @cached_property
    def _blobs(self) -> dict[str, list[Path]]:
        """All blobs that are named by a SHA-256, or by git's hash, from one look at the cache."""
        named: dict[str, list[Path]] = {}
        for repository in _entries(self._root) if self._root is not None else ():
            if repository.name.partition("--")[0] in _KINDS:
                for blob in _entries(repository / "blobs"):
                    if is_sha256(blob.name) or is_git_sha1(blob.name):
                        named.setdefault(blob.name, []).append(blob)
        return named

    def _snapshots(self, places: Iterable[Reference]) -> Iterator[Path]:
        if self._root is None:
            return
        for place in places:
            if place.source != "huggingface" or not place.file or not place.revision:
                continue
            kind, _, name = place.id.partition("/")
            if kind not in _KINDS:
                kind, name = "models", place.id
            repository = self._root / "--".join((kind, *name.split("/")))
            yield repository / "snapshots" / place.revision / place.file


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []

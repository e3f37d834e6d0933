"""The way from a target's root to the directory of a path: the one place that decides which links are followed.

A directory link at or below a root is the user's: a root or a folder on another disk. It is followed. Barred are a
link into another target or into the store, where the files have another owner, a link to nothing, and a file. No
directory is held open between look and act, so each act walks the way again and compares where it leads.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.names import SafePath
from synapse_sync.errors import Conflict, StorageError
from synapse_sync.store.durable import is_junction, storage_error
from synapse_sync.store.looks import make_tree_dirs

_NO_LINKS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The way to one directory.

    `links` are the directory links on it, relative to the root ("." is the root itself), each with its real path.
    `real` is the real path of the directory, None if no link is on the way. `obstacle` says why the way is barred.
    `is_whole` says that every directory on it exists.
    """

    links: Mapping[str, str] = field(default_factory=lambda: _NO_LINKS)
    real: str | None = None
    obstacle: str | None = None
    is_whole: bool = field(default=False, compare=False)


def way_to(root: Path, path: SafePath, barred: Mapping[str, str] = _NO_LINKS) -> Way:
    """Walk the way from `root` to the directory of `path`; what does not exist yet is no obstacle.

    `barred` are real paths into which no link may lead, each with words for it. Raises `StorageError` where a
    directory cannot be looked at.
    """
    links: dict[str, str] = {}
    place, parts = str(root), path.parts[:-1]
    for count in range(len(parts) + 1):
        if count:
            place = os.path.join(place, parts[count - 1])
        name = "/".join(parts[:count]) or "."
        try:
            found = os.lstat(place)
            if stat.S_ISLNK(found.st_mode) or is_junction(found):
                links[name] = os.path.realpath(place)
                found = os.stat(place)
        except FileNotFoundError:
            if name in links:
                return Way(links=links, obstacle=_dangling(root, name, links[name]))
            break
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise StorageError(f"cannot look at {place}: {error.strerror}") from error
            return Way(links=links, obstacle=_dangling(root, name, "itself or a file"))
        if not stat.S_ISDIR(found.st_mode):
            if name == ".":
                return Way(links=links, obstacle=f"{root} is a file where the target's directory is needed")
            return Way(links=links, obstacle=f"`{name}` is not a directory")
    else:
        if not links:
            return Way(is_whole=True)
    if not links:
        return Way()
    real = os.path.realpath(os.path.join(root, *parts))
    owner = next((words for at, words in barred.items() if _is_in(real, at)), None)
    if owner is None:
        return Way(links=links, real=real)
    name = next(reversed(links))
    return Way(
        links=links, real=real, obstacle=f"{_called(root, name)} is a symbolic link into {owner}; not followed"
    )


def _dangling(root: Path, name: str, to: str) -> str:
    return f"{_called(root, name)} is a symbolic link to {to}, which is not there"


def _called(root: Path, name: str) -> str:
    return str(root) if name == "." else f"`{name}`"


def _is_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip(os.sep) + os.sep)


def walk_again(root: Path, path: SafePath, real: str | None, barred: Mapping[str, str] = _NO_LINKS) -> Path:
    """The full path of `path`, if the way to it still leads where it led; nothing is made.

    `real` is `Way.real` as it was when the path was looked at. Raises `Conflict` if the way is barred, or if a link
    on it has appeared, has gone or leads elsewhere since.
    """
    _check(way_to(root, path, barred), root, path, real)
    return path.under(root)


def _check(way: Way, root: Path, path: SafePath, real: str | None) -> None:
    if way.obstacle is not None:
        raise Conflict(f"{path.under(root)}: {way.obstacle}", hint=_HINT)
    if way.real != real:
        where = f"now leads to {way.real}" if way.real is not None else "is no longer a link"
        raise Conflict(
            f"{path.under(root)}: the way to it changed since it was looked at: it {where}; nothing was done there",
            hint="if you changed it, sync again",
        )


_HINT = "point the link at a directory outside of every target and of the store, or replace it by a directory"


def make_way(root: Path, path: SafePath, real: str | None, barred: Mapping[str, str] = _NO_LINKS) -> Path:
    """Like `walk_again`, and make the directories that are missing; raises `Conflict`, `StorageError`."""
    way = way_to(root, path, barred)
    _check(way, root, path, real)
    if way.is_whole:
        return path.under(root)
    place = root
    try:
        make_tree_dirs(root)
        for part in path.parts[:-1]:
            place = place / part
            if not os.path.lexists(place):
                make_tree_dirs(place)
    except FileExistsError:
        raise Conflict(f"{place} is a file where a directory is needed; not followed") from None
    except OSError as error:
        raise storage_error(error, f"making the directory of `{path}`") from error
    # A link may have appeared between the walk and the making: a file is placed only after a second look.
    return walk_again(root, path, real, barred)

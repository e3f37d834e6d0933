"""The way from a target's root to a path below it: which directories are followed, and which bar the way."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from synapse_sync.core.names import SafePath
from synapse_sync.errors import Conflict, StorageError
from synapse_sync.store.durable import fsync_dir, make_dirs, storage_error


def obstruction(root: Path, path: SafePath) -> str | None:
    """Why a path cannot be reached without leaving the root: a parent that is a link or a file; None if it can."""
    place = str(root)
    for part in path.parts[:-1]:
        place = os.path.join(place, part)
        try:
            mode = os.lstat(place).st_mode
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            return f"{root} is a file where the target's directory is needed"
        except OSError as error:
            raise StorageError(f"cannot look at {place}: {error.strerror}") from error
        if stat.S_ISLNK(mode):
            return f"`{os.path.relpath(place, root)}` is a symbolic link; not followed out of the target"
        if not stat.S_ISDIR(mode):
            return f"`{os.path.relpath(place, root)}` is not a directory"
    return None


def safe_parent(root: Path, path: SafePath, *, create: bool = True) -> Path:
    """The full path of `path` below `root`, its directories made one by one.

    A directory below the root that is a symbolic link or a file is never followed: raises `Conflict`. The root
    itself may be a link. Without `create` nothing is made, and missing directories are accepted.
    """
    place = root
    try:
        if create:
            make_dirs(root)
        for part in path.parts[:-1]:
            place = place / part
            mode = _mode_of_directory(place, create=create)
            if mode is None:
                break
            if not stat.S_ISDIR(mode):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "a file"
                raise Conflict(
                    f"{place} is {what} where a directory is needed; not followed",
                    hint="make the target's `root` the directory that it leads to, or replace it by a directory",
                )
    except FileExistsError:
        raise Conflict(f"{root} is a file where the target's directory is needed") from None
    except OSError as error:
        raise storage_error(error, f"making the directory of `{path}`") from error
    return path.under(root)


def _mode_of_directory(place: Path, *, create: bool) -> int | None:
    try:
        return place.lstat().st_mode
    except FileNotFoundError:
        if not create:
            return None
    with contextlib.suppress(FileExistsError):
        place.mkdir()
        fsync_dir(place.parent)
    return place.lstat().st_mode

"""Looks on the disk: what synapse places gets the mode and the time that `core/look.py` decides."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.look import FOLDER_MODE, Look
from synapse_sync.store.durable import improving, make_dirs, narrowed, umask


def is_shared(directory: Path) -> bool:
    """Whether the owner of a directory opened what is made in it to a group: by setgid, or by a default ACL.

    What is made there has the modes that the umask and the ACL say. A directory that cannot be looked at is not.
    """
    with contextlib.suppress(OSError):
        if directory.stat().st_mode & stat.S_ISGID:
            return True
        if sys.platform == "linux":
            return bool(os.getxattr(directory, "system.posix_acl_default"))
    return False


def opens_to_group() -> bool:
    """Whether the umask lets a group write what this user makes, as 0002 and 0007 do, and others not.

    Then users share a tree by their group, also without setgid: a mode of our own would lock the others out.
    """
    return umask() & 0o022 == 0o002


def look_beside(directory: Path, look: Look) -> Look:
    """The look of a new file in a directory: in a shared one its mode stays as it was made."""
    return replace(look, mode=None) if is_shared(directory) else look


def look_of_blob(look: Look, blob: Path, is_public: Callable[[], bool]) -> Look:
    """A look that lets nobody read who may not read the blob; raises `OSError`.

    `is_public` is asked about a blob that others may not read: whether that is due to a umask alone.
    """
    found = blob.stat()
    if look.mode is None or found.st_mode & 0o044 == 0o044 or is_public():
        return look
    return replace(look, mode=narrowed(look.mode, found))


def give_look(path: Path, look: Look) -> None:
    """Set the mode and the modification time of a file or directory, where the file system permits it.

    A file system that has whole seconds only keeps its own time: the fraction alone tells two files of one size
    apart. Raises `OSError` for a disk error.
    """
    before = path.stat()
    if look.mode is not None and stat.S_IMODE(before.st_mode) != look.mode:
        with improving():
            path.chmod(look.mode)
    set_time(path, look.mtime_ns, before)


def give_link_time(link: Path, mtime_ns: int) -> None:
    """Set the time of a symbolic link itself, where the system can; raises `OSError` for a disk error."""
    if os.utime in os.supports_follow_symlinks and link.is_symlink():
        with improving():
            os.utime(link, ns=(link.lstat().st_atime_ns, mtime_ns), follow_symlinks=False)


def set_time(path: Path, mtime_ns: int, before: os.stat_result) -> None:
    """Set the time of what looked like `before`, on the terms of `give_look`."""
    if before.st_mtime_ns == mtime_ns:
        return
    with improving():
        os.utime(path, ns=(before.st_atime_ns, mtime_ns))
        if path.stat().st_mtime_ns != mtime_ns:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def make_tree_dirs(path: Path) -> None:
    """Make a directory of a tree, and what is missing above it; only for a group the umask decides the modes."""
    if path.is_dir():
        return
    if path.parent != path:
        make_tree_dirs(path.parent)
    shared = is_shared(path.parent) or opens_to_group()
    make_dirs(path)
    if not shared:
        with improving():
            path.chmod(FOLDER_MODE)


def settle_folder_modes(root: Path, folders: Iterable[str]) -> None:
    """Give directories of a reproducible tree their mode whatever the umask; `folders` are relative to the root."""
    for place in {root, *(above for folder in folders for above in _down_to(root, root / folder))}:
        if not place.is_symlink() and not is_shared(place) and stat.S_IMODE(place.stat().st_mode) != FOLDER_MODE:
            with improving():
                place.chmod(FOLDER_MODE)


def _down_to(root: Path, folder: Path) -> Iterator[Path]:
    """A directory and those above it, below the root."""
    while folder != root:
        yield folder
        folder = folder.parent

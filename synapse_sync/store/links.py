"""Links: give a blob a name in a tree. Atomic, and never over a file unless the caller asked to replace it."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from synapse_sync.blocks import new_block
from synapse_sync.core.digest import is_sha256
from synapse_sync.core.link_mode import BESIDE, WITHIN, LinkMode
from synapse_sync.core.look import Look
from synapse_sync.errors import Conflict, IntegrityError, StorageError
from synapse_sync.store.durable import (
    READ_ONLY,
    SHARED,
    flush,
    fsync_dir,
    fsync_file,
    is_random_name,
    narrowed,
    random_name,
    remove,
    rename_new,
    replace_file,
    set_mode,
    tree_error,
)
from synapse_sync.store.looks import give_link_time, give_look, look_beside, make_tree_dirs
from synapse_sync.store.writeback import Writeback

#: Temporary names in a target begin with this; `sweep` removes those that a crash left.
PREFIX = ".synapse-tmp-"
#: A temporary file that was not touched for this many seconds belongs to a process that was killed.
STALE = 3600.0
#: The errors of a file system that cannot clone at all; errors about one file only are not among them.
_NO_CLONES = {errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EXDEV, errno.ENOTSUP}
#: The ways that `auto` tries, the cheapest first; cloning must be the first.
_BEST_FIRST = (LinkMode.CLONE, LinkMode.HARDLINK, LinkMode.SYMLINK, LinkMode.COPY)
#: Pairs of devices between which cloning failed in this run: another try costs as much as all the rest.
without_clones: set[tuple[int, int]] = set()
_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_CHUNK = 1 << 20
_HINTS = {
    LinkMode.CLONE: "needs a file system that shares blocks (Btrfs, XFS, bcachefs, APFS, ReFS) with both store "
    "and target; `auto` takes what works",
    LinkMode.HARDLINK: "the store and the target must be on one file system with hard links; "
    "`symlink` and `copy` work across",
    LinkMode.SYMLINK: "this file system or account has no symbolic links (on Windows, switch Developer Mode on); "
    "`copy` always works",
}


def place(
    blob: Path,
    destination: Path,
    mode: LinkMode,
    *,
    replace: bool = False,
    settle: bool = True,
    look: Look | None = None,
) -> LinkMode:
    """Give a blob a name in a tree, in one atomic step; returns the way that was really used.

    `auto` uses the first of clone, hard link, symbolic link and copy that works. Without `replace`, a file that is
    there already is kept and `Conflict` raised. Copies are verified while they are made (`IntegrityError`). Raises
    `StorageError` where a mode is not possible. `move` removes the blob from the store. Without `settle` the name
    survives a power loss only after the caller has made the directory durable, which it can do once for many.
    `look` is the mode and the time of a file of its own, which others may read as far as it says.
    """
    doing = f"placing `{destination.name}`"
    try:
        folder = destination.parent
        make_tree_dirs(folder)
        # Fails for a missing blob: a symbolic link to nothing would be made without an error.
        devices = (blob.stat().st_dev, folder.stat().st_dev)
    except OSError as error:
        raise tree_error(error, doing, folder) from error
    _sweep_once(str(folder))
    failure: OSError | None = None
    for way in _ways(mode, devices):
        try:
            place_by(blob, destination, way, replace=replace, look=look)
            break
        except (FileExistsError, IsADirectoryError):
            raise _in_the_way(destination) from None
        except OSError as error:
            failure = error
            if way is LinkMode.CLONE and error.errno in _NO_CLONES:
                without_clones.add(devices)
    else:
        assert failure is not None
        raise _impossible(failure, doing, mode, folder) from failure
    try:
        # The new name is durable before the blob's is removed: a power loss in between must not take both.
        if settle or way.empties_store:
            fsync_dir(destination.parent)
        if way.empties_store:
            remove(blob, missing_ok=True)
    except OSError as error:
        raise tree_error(error, doing, folder) from error
    return way


def point(destination: Path, link: str, bytes_at: Path, *, replace: bool = False, look: Look | None = None) -> str:
    """Make a relative symbolic link to `bytes_at`, another path of the same target; returns the receipt's word.

    `link` is its text, with slashes. Where no link can be made, the path becomes a file with the same bytes. Either
    gets the time of `look`.
    Without `replace`, a file that is there already is kept and `Conflict` raised. Raises `StorageError`,
    `IntegrityError`.
    """
    try:
        make_tree_dirs(destination.parent)
        _sweep_once(str(destination.parent))
        temporary = destination.with_name(f"{PREFIX}{random_name()}") if replace else destination
        try:
            link_to(link, temporary)
            if look is not None:
                give_link_time(temporary, look.mtime_ns)
            if replace:
                replace_file(temporary, destination)
            return WITHIN
        except FileExistsError:
            raise _in_the_way(destination) from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise
        finally:
            if replace:
                with contextlib.suppress(OSError):
                    remove(temporary)
    except OSError as error:
        raise tree_error(error, f"linking `{destination.name}`", destination.parent) from error
    try:
        place(bytes_at, destination, LinkMode.HARDLINK, replace=replace, settle=False)
    except StorageError:
        place(bytes_at, destination, LinkMode.COPY, replace=replace, settle=False, look=look)
    return BESIDE


def link_to(link: str, path: Path) -> None:
    """Make a symbolic link with this text, in the system's own slashes; raises `OSError`."""
    path.symlink_to(link.replace("/", os.sep))
    if os.name == "nt" and not path.is_symlink():  # Wine says yes, and makes none
        raise OSError(errno.ENOTSUP, "symbolic links are not supported here")


def can_link(root: Path) -> bool:
    """Whether symbolic links can be made below a root, as far as the system says it without a try there.

    Windows decides by account, so one is made in the directory of temporary files. Elsewhere the file system says
    it (POSIX, `_PC_2_SYMLINKS`): FAT has none. Where it says nothing, links are assumed; `point` has an answer.
    """
    if sys.platform == "win32":
        return _links_for_account()
    else:
        while not root.exists() and root != root.parent:
            root = root.parent
        try:
            return os.pathconf(root, "PC_2_SYMLINKS") != 0
        except (OSError, ValueError):
            return True


@functools.cache
def _links_for_account() -> bool:
    import tempfile

    path = Path(tempfile.gettempdir()) / f"{PREFIX}{random_name()}"
    try:
        link_to("nothing", path)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            remove(path)
    return True


def try_file(directory: Path) -> None:
    """Make an empty file in a directory and remove it; raises `OSError` if that is not possible."""
    path = directory / f"{PREFIX}{random_name()}"
    try:
        with _new(path):
            pass
    finally:
        with contextlib.suppress(OSError):
            remove(path)


@functools.lru_cache(maxsize=256)
def way_there(scratch: Path, directory: Path, mode: LinkMode) -> LinkMode:
    """The way in which blobs will be placed in a directory: one byte is placed there for a moment.

    `scratch` is a directory on the store's file system; `directory` exists. Only a try is sure: permissions, mount
    options, quotas and the features of file systems all have a say. Raises `StorageError` if no way is possible.
    """
    doing = f"writing in {directory}"
    name = f"{PREFIX}{random_name()}"
    failure: OSError | None = None
    for way in _ways(mode, (scratch.stat().st_dev, directory.stat().st_dev)):
        blob, place = scratch / f"{name}-blob", directory / name
        try:
            # One for each try: a failed one may have changed its mode.
            blob.write_bytes(b"\0")
            WAYS[way](blob, place)
            return way
        except OSError as error:
            failure = error
        finally:
            for path in (place, blob):
                with contextlib.suppress(OSError):
                    remove(path)
    assert failure is not None
    raise _impossible(failure, doing, mode, directory) from failure


def _ways(mode: LinkMode, devices: tuple[int, int]) -> tuple[LinkMode, ...]:
    """The ways to try for a link mode, in order, without cloning where the file system has refused it."""
    if mode is not LinkMode.AUTO:
        return (mode,)
    return _BEST_FIRST[1:] if devices in without_clones else _BEST_FIRST


def _impossible(failure: OSError, doing: str, mode: LinkMode, folder: Path) -> StorageError:
    problem = tree_error(failure, doing if mode is LinkMode.AUTO else f"{doing} by {mode}", folder)
    if failure.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        problem.hint = _HINTS.get(mode, problem.hint)
    return problem


def _in_the_way(destination: Path) -> Conflict:
    what = "is a directory" if destination.is_dir() else "appeared while it was about to be placed"
    return Conflict(f"{destination} {what}; left as it is", hint="move it away and sync again")


def place_by(blob: Path, destination: Path, way: LinkMode, *, replace: bool, look: Look | None = None) -> None:
    """Place `blob` at `destination` in one way: made under a temporary name beside it, then renamed.

    Without `replace`, a file that is there already is kept, and `FileExistsError` raised. Raises `OSError`.
    A link that replaces nothing is made at once: that is one atomic step by itself.
    """
    if way in (LinkMode.HARDLINK, LinkMode.SYMLINK) and not replace:
        WAYS[way](blob, destination)
        return
    temporary = destination.with_name(f"{PREFIX}{random_name()}")
    before = blob.stat()
    try:
        WAYS[way](blob, temporary)
        if look is not None and way.is_own_inode:
            give_look(temporary, look_beside(destination.parent, look))
        if replace:
            # rename() does nothing at all if both names are one file already; the temporary is unlinked below.
            replace_file(temporary, destination)
        else:
            rename_new(temporary, destination)
    except BaseException:
        if way.empties_store:  # it was made writable for its new owner, who did not get it
            with contextlib.suppress(OSError):
                os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
                set_mode(blob, narrowed(READ_ONLY, before))
        raise
    finally:
        with contextlib.suppress(OSError):
            remove(temporary)


def clone_file(source: Path, copy: Path) -> bool:
    """Make `copy`, a new file that shares its blocks with `source`; False where that is not possible."""
    try:
        _clone(source, copy)
    except FileExistsError:
        raise
    except OSError:
        with contextlib.suppress(OSError):
            remove(copy)
        return False
    return True


def _clone(blob: Path, temporary: Path) -> None:
    """Share the blocks of the blob (Btrfs, XFS, APFS, ReFS …): a file of its own that costs no space."""
    if sys.platform != "linux" and os.path.lexists(temporary):  # Linux makes the file itself, and only a new one
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(temporary))
    if sys.platform == "win32":
        from synapse_sync.store.clone_windows import clone

        clone(blob, temporary)
    elif sys.platform == "darwin":
        from synapse_sync.store.clone_macos import clone

        clone(blob, temporary)
        # It has the mode of the blob, which nobody may write to; this file is its owner's.
        set_mode(temporary, narrowed(SHARED, blob.stat()))
    else:
        import fcntl

        with blob.open("rb") as source, _new(temporary, source.fileno()) as copy:
            fcntl.ioctl(copy, _FICLONE, source.fileno())
    fsync_file(temporary)


def _hardlink(blob: Path, temporary: Path) -> None:
    os.link(blob, temporary)


def _symlink(blob: Path, temporary: Path) -> None:
    temporary.symlink_to(os.path.abspath(blob))  # noqa: PTH100 - resolve() would follow links in the store's path
    if os.name == "nt" and not temporary.is_symlink():  # Wine says yes, and makes none
        raise OSError(errno.ENOTSUP, "symbolic links are not supported here")


def _copy(blob: Path, temporary: Path) -> None:
    """A copy, hashed on the way: a bad disk must not put bad bytes into a tree under a good name."""
    digest = hashlib.sha256()
    buffer = new_block(_CHUNK)
    writeback = Writeback()
    with blob.open("rb", buffering=0) as source, _new(temporary, source.fileno()) as handle:
        while count := source.readinto(buffer):
            digest.update(buffer[:count])
            rest = buffer[:count]
            while rest:
                rest = rest[os.write(handle, rest) :]
            writeback.wrote(handle, count)
        flush(handle)
        writeback.settle()
    if is_sha256(blob.name) and digest.hexdigest() != blob.name:
        raise IntegrityError(
            f"the blob {blob.name[:12]}… no longer has the content of its name; not placed",
            hint="`synapse store verify` sets it aside, then sync again",
        )


def _move(blob: Path, temporary: Path) -> None:
    """Make a second name first, so that the file exists at every moment; across file systems, a copy.

    A blob that has other names is copied too: they must stay read-only, and apart from the user's own file.
    """
    if blob.stat().st_nlink == 1:
        with contextlib.suppress(OSError):
            set_mode(blob, narrowed(SHARED, blob.stat()))
            os.link(blob, temporary)
            return
    if not clone_file(blob, temporary):
        _copy(blob, temporary)


@contextlib.contextmanager
def _new(path: Path, source: int | None = None) -> Iterator[int]:
    """A new file, open for writing; nobody may read it who could not read the open file `source`."""
    mode = SHARED if source is None else narrowed(SHARED, os.fstat(source))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, mode)
    try:
        yield handle
    finally:
        os.close(handle)


WAYS: dict[LinkMode, Callable[[Path, Path], None]] = {
    LinkMode.CLONE: _clone,
    LinkMode.HARDLINK: _hardlink,
    LinkMode.SYMLINK: _symlink,
    LinkMode.COPY: _copy,
    LinkMode.MOVE: _move,
}


@functools.lru_cache(maxsize=4096)
def _sweep_once(directory: str) -> None:
    sweep(Path(directory))


def sweep(directory: Path, now: float | None = None) -> int:
    """Remove temporary files of killed processes from a directory of a target; returns how many.

    Only names of synapse's own form are removed, and none that was written to lately. `now` is the time in seconds.
    """
    limit = (time.time() if now is None else now) - STALE
    count = 0
    with contextlib.suppress(OSError), os.scandir(directory) as found:
        for item in found:
            if not (item.name.startswith(PREFIX) and is_random_name(item.name.removeprefix(PREFIX))):
                continue
            with contextlib.suppress(OSError):
                info = item.stat(follow_symlinks=False)
                # ctime: a hard link or clone has the blob's mtime, which says nothing.
                if info.st_ctime < limit and not stat.S_ISDIR(info.st_mode):
                    remove(Path(item.path))
                    count += 1
    return count

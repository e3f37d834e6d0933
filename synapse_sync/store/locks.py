"""Locks between processes: one at a time, and a process that waits reports which one it waits for."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from synapse_sync.errors import StorageError
from synapse_sync.store.durable import SHARED, is_unwritable, make_dirs, storage_error
from synapse_sync.user.small_files import read_small

#: The words of the command line that other processes may see; any other word might be private.
_VERBS = frozenset({
    "add", "bundle", "demo", "export", "images", "import", "info", "init", "list", "lock", "outdated", "push",
    "remove", "search", "show", "status", "store", "sync", "unbundle", "upgrade", "verify", "watch",
})  # fmt: skip
#: The errors of a network file system without locks, or with a lock service that does not answer.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF}
#: The errors of a store at a path that is a file or a device, or where no directory can be made.
_NO_PLACE = {errno.ENOTDIR, errno.ENOENT, errno.EEXIST}
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
#: The pause between two attempts, in seconds; on every system a signal is handled there.
_PAUSE = 0.05


def lock_path(store: Path, name: str) -> Path:
    """The path of the lock of this name in a store."""
    return store / "locks" / f"{name}.lock"


@contextlib.contextmanager
def hold(
    path: Path,
    what: str,
    on_wait: Callable[[str], None] | None = None,
    timeout: float | None = None,
    *,
    optional: bool = False,
    signed: bool = True,
) -> Iterator[bool]:
    """Hold the lock at `path` while the block runs; yields whether another process had to be waited for.

    `what` says what is locked or done, in words for others. The operating system drops the lock of a killed
    process. `on_wait` is called once with a line about the process that holds the lock. After `timeout` seconds
    (None: never) raises `StorageError`. An `optional` lock is passed over where this user may not make it: in a
    store that can only be read. Writing to the store needs a lock that is not optional. A lock that is not `signed`
    does not name its holder to others: it is held for moments, and a note would take longer than the work.
    """
    try:
        release, waited = _acquire(path, what, on_wait, timeout)
    except OSError as error:
        if optional and is_unwritable(error):
            yield False
            return
        if error.errno in _NO_PLACE and not path.parent.parent.is_dir():
            raise no_place(path.parent.parent, error.strerror) from error
        problem = storage_error(error, f"locking {what}")
        raise _no_locks(what, path) if error.errno in _NO_LOCKS else problem from error
    except NotImplementedError:
        raise _no_locks(what, path) from None
    owner = _owner_path(path) if signed else None
    try:
        if owner is not None:
            _sign(owner)
        yield waited
    finally:
        if owner is not None:
            with contextlib.suppress(OSError):
                os.unlink(owner)  # noqa: PTH108 - a `Path` costs more than the call
        release()


def no_place(root: Path, reason: str | None) -> StorageError:
    """The error for a root of a store where none can be."""
    return StorageError(
        f"{root} cannot be the store: {reason}",
        hint="name a directory with SYNAPSE_STORE, or with `store` in your config.toml; a missing one is made",
    )


def _no_locks(what: str, path: Path) -> StorageError:
    return StorageError(
        f"locking {what}: the file system of {path.parent} has no locks",
        hint="put the store on a local disk with SYNAPSE_STORE",
    )


def _acquire(
    path: Path, what: str, on_wait: Callable[[str], None] | None, timeout: float | None
) -> tuple[Callable[[], None], bool]:
    """Take the lock; returns the function that drops it, and whether it had to be waited for."""
    until = None if timeout is None else time.monotonic() + timeout
    waited = False
    while (release := _attempt(path)) is None:
        if until is not None and time.monotonic() >= until:
            raise StorageError(f"{what}: in use by {_owner(path)}", hint="try again when that is done")
        if not waited and on_wait is not None:
            on_wait(f"waiting for {_owner(path)}: {what}")
        waited = True
        time.sleep(_PAUSE if until is None else max(0.0, min(_PAUSE, until - time.monotonic())))
    return release, waited


def _attempt(path: Path) -> Callable[[], None] | None:
    """Take the lock if it is free; returns the function that drops it, or None."""
    try:
        return _take(path)
    except FileNotFoundError:
        make_dirs(path.parent)
        return _take(path)


if sys.platform == "win32":

    def _take(path: Path) -> Callable[[], None] | None:
        from filelock import FileLock, Timeout

        lock = FileLock(str(path), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock.release

else:
    import fcntl

    def _open(path: Path) -> int:
        """Open the lock file; one that this user may only read can be locked as well."""
        flags = os.O_NOFOLLOW | os.O_NONBLOCK  # neither through a link, nor held by a pipe of this name
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | flags, SHARED)
        except OSError as error:
            if not is_unwritable(error) or not path.exists():
                raise
            return os.open(path, os.O_RDONLY | flags)

    def _take(path: Path) -> Callable[[], None] | None:
        """The system's own lock: for hundreds of small files a library's care costs more than they do."""
        while True:
            handle = _open(path)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Between open and lock the file may have been removed: a lock on it would exclude nobody.
                if os.fstat(handle).st_nlink:
                    return lambda: os.close(handle)
            except BlockingIOError:
                os.close(handle)
                return None
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # the file was removed meanwhile, so another process may hold a new one


def _owner_path(path: Path) -> str:
    return f"{path}.owner"


@functools.lru_cache(maxsize=2)
def _signature(pid: int, words: tuple[str, ...], since: int) -> bytes:
    """The note on a process: its name and verb only, since arguments may be private."""
    name = Path(words[0]).name if words else ""
    program = name if name and name[0] not in "-_" else "synapse"
    verb = next((word for word in words[1:] if word in _VERBS), "")
    return json.dumps({"pid": pid, "command": f"{program} {verb}".strip(), "since": since}).encode()


def _sign(owner: str) -> None:
    """Write down which program holds the lock."""
    note = _signature(os.getpid(), tuple(sys.argv), int(time.time()))
    with contextlib.suppress(OSError):
        # Always a new file: a link or another user's file of this name must not be written to. We hold the lock, so
        # that a note that is there is one of a killed process.
        try:
            handle = os.open(owner, _NEW, SHARED)
        except FileExistsError:
            os.unlink(owner)  # noqa: PTH108 - a `Path` costs more than the call
            handle = os.open(owner, _NEW, SHARED)
        try:
            os.write(handle, note)
        finally:
            os.close(handle)


def _owner(path: Path) -> str:
    """The holder of the lock, in words; its note may be missing, or half written at this moment."""
    try:
        value = json.loads(read_small(_owner_path(path), 65536))
        since = time.strftime("%H:%M", time.localtime(value["since"]))
        return f"`{value['command']!s}` (pid {int(value['pid'])}, since {since})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another synapse process"

"""The file of a bundle: whole or not there, whatever ends the process."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from synapse_sync.core.bundle import LIST
from synapse_sync.core.tar import BLOCK, file_header
from synapse_sync.errors import Conflict, InputError, StorageError
from synapse_sync.store.durable import (
    SHARED,
    flush,
    fsync_dir,
    is_unwritable,
    outside_store,
    remove,
    replace_file,
    storage_error,
)
from synapse_sync.store.free_space import no_room
from synapse_sync.store.locks import hold, lock_path

#: The header of a bundle up to the size of its list, which is the first member.
_BEGINNING = file_header(LIST, 0)[:124]


def is_bundle(path: Path) -> bool:
    """Whether a regular file begins as a bundle does. Raises `OSError`."""
    with path.open("rb", buffering=0) as file:
        return file.read(BLOCK).startswith(_BEGINNING)


def check_output(path: Path) -> None:
    """Raise `InputError` or `Conflict` where no bundle can be written: only an earlier bundle is replaced."""
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a directory", hint="make it first, or name another file")
    try:
        found = path.lstat()
        ours = stat.S_ISREG(found.st_mode) and is_bundle(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, f"looking at {path}") from error
    if not ours:
        raise Conflict(f"{path} exists, and is no earlier bundle; it was not replaced", hint="name another file")


def check_room(directory: Path, size: int) -> None:
    """Raise `StorageError` where a bundle of `size` bytes does not fit."""
    if (words := no_room(directory, size, "needed for the bundle")) is not None:
        raise StorageError(
            words, hint="write it to another disk, or send it on: `synapse bundle - | ssh HOST synapse unbundle -`"
        )


@contextlib.contextmanager
def written(
    path: Path, *, readers: int = SHARED, store: Path, on_wait: Callable[[str], None]
) -> Iterator[BinaryIO]:
    """Open the file that becomes `path` once all is written: `path.partial` until then, removed on an error.

    `readers` is its mode, less the umask: nobody reads a bundle who may not read what is in it. A partial file of a
    process that was killed is replaced. `on_wait` hears of another process that writes the same bundle.
    """
    with _alone(path, store, on_wait) as partial:
        if not _is_empty(partial):  # as a kill right after its beginning leaves it
            check_output(partial)
        try:
            remove(partial, missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            try:
                with os.fdopen(os.open(partial, flags, readers), "wb") as file:
                    yield file
                    file.flush()
                    flush(file.fileno())
                check_output(path)  # once more: writing took its time, and somebody may have made a file there
                replace_file(partial, path)
                fsync_dir(path.parent)
            except BaseException:
                with contextlib.suppress(OSError):
                    remove(partial, missing_ok=True)
                raise
        except OSError as error:
            raise storage_error(error, f"writing {path}") from error


@contextlib.contextmanager
def _alone(path: Path, store: Path, on_wait: Callable[[str], None]) -> Iterator[Path]:
    """Be the only process that writes a bundle; yields the path of its partial file.

    The lock is in the store, or beside the bundle where this user may only read the store. Each of the two has a
    partial file of its own: a user who may write the store does not see the other lock.
    """
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(hold(lock_path(store, f"bundle-{name}"), f"the bundle {path}", on_wait=on_wait))
            partial = path.with_name(f"{path.name}.partial")
        except StorageError as error:
            if not is_unwritable(error):
                raise
            partial = path.with_name(f"{path.name}.{name}.partial")
            beside = path.with_name(f"{path.name}.{name}.lock")
            try:
                held.enter_context(hold(beside, f"the bundle {path}", on_wait=on_wait, signed=False))
            except StorageError as refused:
                raise outside_store(refused, "name a directory in which you may write") from refused
            held.callback(_drop, beside)
        yield partial


def _drop(lock: Path) -> None:
    """Remove a lock that is held: a process that waits for it makes a new one."""
    with contextlib.suppress(OSError):
        remove(lock)


class Pipe:
    """A stream to another program, as an archive is written to it: `StorageError` says in words why it failed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes | memoryview, /) -> None:
        """Write all of these bytes."""
        rest = memoryview(data)
        with _in_words():
            while rest:
                # Hazard: with PYTHONUNBUFFERED, stdout is raw. It accepts a part where a signal interrupts the
                # write, as Ctrl-Z does, and nothing (None) where whoever made the pipe has it not block.
                count: int | None = self._stream.write(rest)
                if count is None:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                rest = rest[count:]

    def flush(self) -> None:
        """Hand on what was written: a reader that has gone may show only here."""
        with _in_words():
            self._stream.flush()


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Windows says EINVAL of a pipe without a reader.
        is_gone = isinstance(error, ConnectionError) or (os.name == "nt" and error.errno == errno.EINVAL)
        if is_gone:
            raise StorageError("the reader of the bundle has gone", hint="its own message says why") from error
        raise storage_error(error, "writing the bundle to standard output") from error


def _is_empty(path: Path) -> bool:
    """Whether there is a regular file without content."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and not found.st_size


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a bundle for reading; a pipe is one, too. Raises `InputError`."""
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield file

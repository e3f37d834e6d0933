"""Durable writes: whole or not at all, and on the disk when the function returns.

The one home of the differences between platforms in this: flush, modes, removal and replacement. On Windows a file
is flushed through a writable handle, and the plain calls neither remove nor replace a read-only file; steps that
exist only there are in `windows.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from synapse_sync.errors import Conflict, StorageError

#: Bytes that stay free on every file system: room for receipts, and for other programs.
RESERVE = 64 * 1024 * 1024

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
#: The answers of a file system that does not offer an operation, or not to this user: network shares refuse chmod
#: and fsync. A disk error or a full disk is not among them.
_REFUSED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EBADF, *_FORBIDDEN}
#: The answers of Windows about a file that another program holds open, has locked, or has mapped into memory.
_IN_USE = {32, 33, 1224}
#: Errors that mean the same on every system.
_SAID_ALIKE = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EXDEV}
#: The tag of a junction, and of a volume that is mounted in a directory (winnt.h: IO_REPARSE_TAG_MOUNT_POINT).
_MOUNT_POINT = 0xA0000003
#: Modes of new files, less the umask: a store or a tree may be shared by the users of one group.
SHARED, READ_ONLY = 0o666, 0o444
_RANDOM_NAME = re.compile(r"[0-9]+-[0-9a-f]{12}")
_TEMPORARY = re.compile(rf"\..+\.{_RANDOM_NAME.pattern}\.tmp", re.DOTALL)


def is_unwritable(error: BaseException) -> bool:
    """Whether an error, or the one that caused it, says that this user may only read there."""
    while error.__cause__ is not None:
        error = error.__cause__
    return isinstance(error, OSError) and error.errno in {errno.EROFS, *_FORBIDDEN}


@contextlib.contextmanager
def where_writable() -> Iterator[None]:
    """Write down something that only saves work later: where this user may only read, it is left out."""
    try:
        yield
    except (OSError, StorageError) as error:
        if not is_unwritable(error):
            raise


def storage_error(error: OSError, doing: str) -> StorageError:
    """The `StorageError` for an error of the file system; `doing` says what failed, as in "writing x"."""
    where = f" ({error.filename})" if error.filename else ""
    words, hint = _words(error)
    return StorageError(f"{doing}: {words}{where}", hint=hint)


def _words(error: OSError) -> tuple[str, str | None]:
    number = error.errno
    if number == errno.EBUSY or getattr(error, "winerror", None) in _IN_USE:
        return "in use by another program", "close the program that uses it, then run it again: nothing was lost"
    if number in _FULL:
        words = "the disk (or its inodes, or your quota on it) is full"
        return words, "free some space and run it again: what is done stays done"
    if number == errno.EROFS:
        words = "the file system is read-only"
        return words, "mount it writable, or put the store elsewhere with SYNAPSE_STORE"
    if number in _FORBIDDEN:
        words = "check who owns the file and its directory; for a store of others, set SYNAPSE_STORE to your own"
        return "no permission", words
    if number == errno.EFBIG:
        return "the file system cannot hold a file as large as this", "FAT32 ends at 4 GB; use another file system"
    if number == errno.EIO:
        return "the disk reports an error", "check the disk before you trust it with anything"
    if getattr(error, "winerror", None) is not None and number in _SAID_ALIKE:
        return os.strerror(number), None  # Windows has words of its own, in the language of the user
    return error.strerror or str(error) or type(error).__name__, None


@contextlib.contextmanager
def about_project() -> Iterator[None]:
    """Write files of a project: where that fails, a store in another place is no remedy, and no hint names one."""
    try:
        yield
    except StorageError as error:
        outside_store(error, "make the project's directory writable for you, or work in a copy of it")
        raise


def outside_store(error: StorageError, hint: str) -> StorageError:
    """The error about a file that is in no store: `hint` is in the place of one that names another store."""
    if error.hint is not None and "SYNAPSE_STORE" in error.hint:
        error.hint = hint
    return error


def tree_error(error: OSError, doing: str, root: Path) -> StorageError:
    """The `StorageError` of a step in the target at `root`: another store helps only where the store failed."""
    problem = storage_error(error, doing)
    given = (error.filename, error.filename2)
    names = [Path(os.fsdecode(name)) for name in given if isinstance(name, str | bytes | os.PathLike)]
    if not names or any(name.is_relative_to(root) or root.is_relative_to(name) for name in names):
        outside_store(problem, "make the target's directory writable for you, or choose another `root`")
    return problem


def is_junction(found: os.stat_result) -> bool:
    """Whether a directory is a junction of Windows, or another volume that is mounted there: it counts as a link.

    `found` is its stat, not followed.
    """
    return getattr(found, "st_reparse_tag", 0) == _MOUNT_POINT


def random_name() -> str:
    """A name that no other process uses: the process id and some randomness."""
    return f"{os.getpid()}-{os.urandom(6).hex()}"


def is_random_name(name: str) -> bool:
    """Whether a name is one of `random_name`, perhaps of another process: a file of any other name is not ours."""
    return _RANDOM_NAME.fullmatch(name) is not None


@contextlib.contextmanager
def improving() -> Iterator[None]:
    """Do something that makes the result better but is not needed for it: a refusal of the file system is no error.

    For modes, owners, times and flushes: the one place that decides which of their errors count. Others, such as
    EIO and ENOSPC, are raised.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise


def umask() -> int:
    """The umask of this process; 0 on Windows, where modes have only the bit for read-only files."""
    if os.name == "nt":
        return 0
    with (
        contextlib.suppress(OSError, ValueError, IndexError),
        Path("/proc/self/status").open("rb", buffering=0) as status,
    ):
        _, _, rest = status.read(1024).partition(b"\nUmask:")  # Linux since 4.7, in the second line
        return int(rest.split(maxsplit=1)[0], 8)
    # It can only be read by setting it. For a moment other threads make files that are too private, never too open.
    found = os.umask(0o077)
    os.umask(found)
    return found


def set_mode(path: Path, mode: int) -> None:
    """Set the mode of a file to `mode` less the umask, where the file system permits it."""
    with improving():
        path.chmod(mode & ~umask())


def fsync_dir(path: Path) -> None:
    """Make the names in a directory durable, where the file system permits it; a disk error is raised.

    On Windows the names are in the journal of the file system, in their order; that is flushed as far as it may be.
    """
    if sys.platform == "win32":
        from synapse_sync.store.windows import flush_directory

        flush_directory(path)
    else:
        with improving():
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def fsync_file(path: Path) -> None:
    """Make the content of a file durable; raises `OSError`."""
    # Windows flushes through a handle that may write, and opens no read-only file so: the mark goes for a moment.
    locked = os.name == "nt" and not path.stat().st_mode & stat.S_IWRITE
    if locked:
        path.chmod(SHARED)
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            flush(handle)
        finally:
            os.close(handle)
    finally:
        if locked:
            path.chmod(READ_ONLY)


def remove(path: Path, *, missing_ok: bool = False) -> None:
    """Unlink a file, a read-only one, too; other names of it stay as they are. Raises `OSError`.

    `EBUSY` says that another program has the file open (Windows): it is still there then.
    """
    if sys.platform == "win32":
        from synapse_sync.store.windows import remove as remove_there

        remove_there(path, missing_ok=missing_ok)
    else:
        path.unlink(missing_ok=missing_ok)


def replace_file(source: Path, destination: Path) -> None:
    """Rename a file over another one, a read-only one, too, in one step; raises `OSError`.

    `EBUSY` says that another program has one of them open (Windows): both are still there then.
    """
    if sys.platform == "win32":
        from synapse_sync.store.windows import replace as replace_there

        replace_there(source, destination)
    else:
        source.replace(destination)


def flush(handle: int, *, data_only: bool = False) -> None:
    """Make the content of an open file durable, where the file system offers that; raises `OSError` otherwise.

    With `data_only`, times may be lost. A network file system without fsync is used as it is: the digest decides
    later whether the bytes arrived. A disk error is raised: the kernel may have dropped bytes.
    """
    with improving():
        (getattr(os, "fdatasync", os.fsync) if data_only else os.fsync)(handle)


def narrowed(mode: int, source: os.stat_result, copy: os.stat_result | None = None) -> int:
    """Return `mode` without the bits of those who may not read `source`, for a copy of it.

    `copy`, if given, is the stat of the copy: what the group of the source may read is not for another group.
    """
    others = source.st_mode & 0o044
    if copy is not None and copy.st_gid != source.st_gid and not others & 0o004:
        others = 0
    return mode & (0o700 | others | others >> 1)


#: The stores that nobody named, by path: others may follow a link to a blob there, and see nothing else.
private_roots: set[str] = set()


def keep_private(root: Path) -> None:
    """Make the directories of this store, from now on, so that no other user can list them."""
    private_roots.add(os.path.abspath(root))  # noqa: PTH100 - as `BlobStore` does


def _directory_mode(path: Path) -> int:
    """The mode (less the umask) of a new directory: in a private store the way to a blob can only be walked."""
    for root in filter(path.is_relative_to, private_roots):
        return 0o711 if path.relative_to(root).parts[:1] in ((), ("blobs",)) else 0o700
    return 0o777


def make_dirs(path: Path, *, durable: bool = True) -> None:
    """Make a directory and what is missing above it; if `durable`, the new names survive a power loss."""
    if path.is_dir():
        return
    if path.parent != path:
        make_dirs(path.parent, durable=durable)
    path.mkdir(mode=_directory_mode(path), exist_ok=True)
    if durable:
        fsync_dir(path.parent)


def rename_new(source: Path, destination: Path) -> None:
    """Rename a file, but never over another one; raises `FileExistsError`, `OSError`."""
    try:
        os.link(source, destination, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # A file system without hard links (exFAT): look first, then rename. A file that appears in between is lost.
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(destination)) from None
        source.rename(destination)
    else:
        remove(source)


def own_directory(path: Path) -> None:
    """Make a directory of our own, whose parent exists.

    Raises `Conflict` if a link (a repository can have one) leads elsewhere, or if a file is in the way.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        fsync_dir(path.parent)
    if path.is_symlink() or is_junction(path.lstat()):
        raise Conflict(f"{path} is a symbolic link; not followed", hint="remove the link and sync again")
    if not path.is_dir():
        raise Conflict(f"{path} is not a directory; left as it is", hint="move it away and sync again")


def write_private(path: Path, data: bytes) -> None:
    """Write a file for its owner's eyes only, whatever it was before; raises `StorageError`.

    The user's own link there (dotfiles) is followed as by `behind_link`.
    """
    try:
        if not path.parent.is_dir():
            make_dirs(path.parent.parent)
            path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise storage_error(error, f"making {path.parent}") from error
    write_atomic(behind_link(path), data, mode=0o600, keep_mode=False)


def write_note(path: Path, data: bytes) -> None:
    """Write a note in the root of a store that can be made again. Raises `StorageError`.

    A kill may leave the temporary file: it is in the store's own directory for these, which is swept.
    """
    write_atomic(path, data, durable=False, aside=path.parent / "tmp")


def write_atomic(
    path: Path,
    data: bytes,
    *,
    mode: int = SHARED,
    keep_mode: bool = True,
    durable: bool = True,
    aside: Path | None = None,
) -> None:
    """Write a file whole or not at all; its directory must exist. Raises `StorageError`.

    `mode` (less the umask) is for a new file: an existing one keeps its permission bits, unless `keep_mode` is
    false. A symbolic link at `path` is replaced, never followed: in a cloned project it must not choose which file
    we write, nor with which mode. Without `durable`, a power loss may leave an empty file: for notes that can be
    made again. `aside` is a directory on the same file system for the temporary file, if it exists.
    """
    temporary: Path | None = path.with_name(f".{path.name[:80]}.{random_name()}.tmp")
    if aside is not None and aside.is_dir():
        temporary = aside / random_name()
    assert temporary is not None
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        if str(path.parent) in private_roots:
            mode &= 0o600  # its name is known, so that the directory does not hide it
        with os.fdopen(os.open(temporary, flags, mode), "wb", buffering=0) as file:
            if keep_mode:
                with contextlib.suppress(FileNotFoundError), improving():
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode):
                        temporary.chmod(found.st_mode & 0o777)
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            # In this order: a rename that survives a power loss before the bytes would leave an empty file.
            if durable:
                flush(file.fileno())
        replace_file(temporary, path)
        temporary = None
        if durable:
            fsync_dir(path.parent)
    except OSError as error:
        raise storage_error(error, f"writing {path.name}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                remove(temporary)


def sweep_temporaries(directory: Path, before: float, *, skipped: frozenset[str]) -> None:
    """Remove the temporary files of `write_atomic` that killed processes left in a directory and below.

    Only files that were last written to before this time (in seconds) go; `skipped` are directories at the top.
    """
    for folder, below, names in os.walk(directory):
        if folder == str(directory):
            below[:] = [name for name in below if name not in skipped]
        for name in names:
            if _TEMPORARY.fullmatch(name):
                with contextlib.suppress(OSError):
                    found = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - a path costs more
                    if stat.S_ISREG(found.st_mode) and found.st_mtime < before:
                        remove(Path(folder, name))


def append_line(path: Path, line: bytes, *, durable: bool = False) -> None:
    """Add a line to a file in one write, never through a symbolic link; raises `OSError`.

    If `durable`, it survives a power loss, as does the name of a new file.
    """
    # Non-blocking: a pipe of this name, which nobody reads, would hold us for ever.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0), SHARED)
    try:
        with _appending(handle):
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            if os.write(handle, line) != len(line):
                os.ftruncate(handle, found.st_size)  # the next line must not be joined to half of this one
                raise OSError(None, "the line was cut off; is the disk full?")
        if durable:
            flush(handle)
    finally:
        os.close(handle)
    if durable and not found.st_size:
        fsync_dir(path.parent)


def _appending(handle: int) -> contextlib.AbstractContextManager[None]:
    """Where one write at the end of a file is not one step, be its only writer meanwhile."""
    if sys.platform == "win32":
        from synapse_sync.store.windows import alone_at

        return alone_at(handle)
    else:
        return contextlib.nullcontext()


def behind_link(path: Path, within: Path | None = None) -> Path:
    """Return the file to write for `path`: behind a symbolic link, if that leads to a file of the same name.

    `within` is a directory (its real path) that the link must not leave, if any. Raises `Conflict` for other links.
    """
    if not path.is_symlink():
        return path
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # a loop
        real = path
    if real.name != path.name or real.is_symlink():
        raise Conflict(
            f"{path} is a symbolic link to {real}; not written through",
            hint="links are followed only to a file of the same name: replace the link, or rename what it leads to",
        )
    if within is not None and not real.is_relative_to(within):
        raise Conflict(
            f"{path} is a symbolic link to {real}, outside the project; not written through",
            hint=f"delete the link: `{path.name}` is then written beside the manifest",
        )
    return real

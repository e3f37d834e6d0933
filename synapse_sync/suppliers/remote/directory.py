"""A directory as a remote, on a network drive for example: its `blobs` are laid out as those of a local store."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from synapse_sync.core.remote import Remote, blob_path
from synapse_sync.errors import InputError, NotFound, StorageError
from synapse_sync.sources.base import Location
from synapse_sync.store.durable import (
    READ_ONLY,
    flush,
    fsync_dir,
    is_random_name,
    make_dirs,
    outside_store,
    random_name,
    remove,
    rename_new,
    replace_file,
    storage_error,
)
from synapse_sync.store.writeback import Writeback
from synapse_sync.suppliers.remote.base import ACCESS_HINT, Entry, Means, TooLarge

#: Temporary files are in this directory, as in a local store.
_TEMPORARY = "tmp"


class DirectoryRemote:
    """A remote below a directory, which has to exist: its drive may only not be mounted."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self._root = Path(remote.address)

    def locate(self, sha256: str) -> Location | None:
        """The file of a blob, if it is there; raises `StorageError` for a missing directory."""
        if self.size(sha256) is None:
            return None
        return Location(url="", path=str(self._root / blob_path(sha256)))

    def size(self, sha256: str) -> int | None:
        """The size of a blob in bytes; None if it is not there. Raises `StorageError` for a missing directory."""
        try:
            found = (self._root / blob_path(sha256)).stat()
        except (FileNotFoundError, NotADirectoryError):
            if not self._root.is_dir():
                raise StorageError(
                    f"the directory {self._root} is missing", hint="mount its drive, or make it if it is new"
                ) from None
            return None
        except OSError as error:
            raise self._trouble(error, "looking into") from error
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    # -- writing -----------------------------------------------------------------------------------

    def put(self, sha256: str, chunks: Iterator[bytes], size: int) -> None:
        """Write a blob beside its place and rename it, durably: it is there whole or not at all."""
        path = self._root / blob_path(sha256)
        with self._written(chunks) as temp:
            if temp.stat().st_size != size:
                raise StorageError(f"{sha256[:12]}…: {temp.stat().st_size} bytes were written instead of {size}")
            _moved(temp, path)

    def create(self, path: str, data: bytes) -> bool:
        """Write a small file unless there is one; returns whether it was written."""
        place = self._root / path
        with self._written(iter([data])) as temp:
            make_dirs(place.parent)
            try:
                rename_new(temp, place)
            except FileExistsError:
                return False
            fsync_dir(place.parent)
        return True

    def overwrite(self, path: str, data: bytes) -> None:
        """Write a small file, in the place of one that is there."""
        with self._written(iter([data])) as temp:
            _moved(temp, self._root / path)

    @contextlib.contextmanager
    def _written(self, chunks: Iterator[bytes]) -> Iterator[Path]:
        """A temporary file with these bytes, flushed; it is removed if it is not renamed."""
        if not self._root.is_dir():
            raise StorageError(
                f"the directory {self._root} is missing", hint="mount its drive, or make it if it is new"
            )
        temp = self._root / _TEMPORARY / random_name()
        try:
            make_dirs(temp.parent)
            handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), READ_ONLY)
            writeback = Writeback()
            try:
                for chunk in chunks:
                    rest = memoryview(chunk)
                    while rest:
                        rest = rest[os.write(handle, rest) :]
                    writeback.wrote(handle, len(chunk))
                flush(handle)
            finally:
                writeback.settle()
                os.close(handle)
            yield temp
        except OSError as error:
            raise self._trouble(error, "writing into") from error
        finally:
            with contextlib.suppress(OSError):
                remove(temp, missing_ok=True)

    def _trouble(self, error: OSError, doing: str) -> StorageError:
        """The error for a directory that does not serve: the deepest one that exists, no temporary file."""
        place = Path(error.filename or self._root)
        while place != self._root and place != place.parent and not place.is_dir():
            place = place.parent
        error.filename = str(place)
        return outside_store(storage_error(error, f"{doing} {self._root}"), ACCESS_HINT)

    # -- small files, and all of them -----------------------------------------------------------------

    def read(self, path: str, most: int) -> bytes:
        """The content of a small file; raises `NotFound`, `TooLarge` for a larger one, or `StorageError`."""
        try:
            with (self._root / path).open("rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError:
            raise NotFound(f"{self.remote} has no {path}") from None
        except OSError as error:
            raise self._trouble(error, "reading") from error
        if len(data) > most:
            raise TooLarge(self.remote, path, most)
        return data

    def entries(self, below: str) -> Iterator[Entry]:
        """All files whose paths begin with `below`, which ends with a slash; links are not followed.

        Hazard: a collection deletes what no lockfile of this list names. So a directory that cannot be listed is an
        error, and not an empty one. Raises `StorageError`.
        """
        if not self._root.is_dir():
            raise StorageError(f"the directory {self._root} is missing", hint="is its drive mounted?")
        try:
            for folder, _, names in os.walk(self._root / below, onerror=_unless_missing):
                for name in sorted(names):
                    path = Path(folder) / name
                    with contextlib.suppress(FileNotFoundError):
                        found = path.lstat()
                        if stat.S_ISREG(found.st_mode):
                            inside = path.relative_to(self._root).as_posix()
                            yield Entry(path=inside, size=found.st_size, modified=found.st_mtime)
        except OSError as error:
            raise self._trouble(error, "listing") from error

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files; those that are not there are passed over."""
        for path in paths:
            try:
                remove(self._root / path, missing_ok=True)
            except OSError as error:
                raise self._trouble(error, "deleting in") from error

    def abort_uploads(self, before: float) -> int:
        """Remove the temporary files of killed pushes, if they were last written before that time.

        The directory may have been somebody's before: only names of synapse's own form are removed.
        """
        count = 0
        directory = self._root / _TEMPORARY
        for path in directory.iterdir() if directory.is_dir() else ():
            with contextlib.suppress(OSError):
                found = path.lstat()
                if is_random_name(path.name) and stat.S_ISREG(found.st_mode) and found.st_mtime < before:
                    remove(path)
                    count += 1
        return count


def _unless_missing(error: OSError) -> None:
    """Raise an error of a directory listing, unless the directory does not exist."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _moved(temp: Path, place: Path) -> None:
    """Move a file to its place in the remote, durably; another file there is replaced."""
    make_dirs(place.parent)
    if place.is_dir():
        raise StorageError(
            f"{place} is a directory, in the place of a file of the remote",
            hint="move it away, and run it again",
        )
    replace_file(temp, place)
    fsync_dir(place.parent)


def open_remote(remote: Remote, means: Means) -> DirectoryRemote:
    """Open a directory as a remote; raises `InputError` for the store that is asked before all remotes."""
    if not Path(remote.address).is_absolute():
        raise InputError(f"the remote `{remote.address}` is not an absolute path", hint="write the whole path")
    return DirectoryRemote(remote)

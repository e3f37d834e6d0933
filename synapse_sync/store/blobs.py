"""Blobs: each file once, under the name of its SHA-256; complete or absent, whatever kills the process."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import Conflict, IntegrityError, StorageError
from synapse_sync.store import links
from synapse_sync.store.changed import check_unchanged
from synapse_sync.store.durable import (
    READ_ONLY,
    flush,
    fsync_dir,
    fsync_file,
    is_random_name,
    make_dirs,
    random_name,
    remove,
    rename_new,
    replace_file,
    set_mode,
    storage_error,
    sweep_temporaries,
    where_writable,
    write_atomic,
)
from synapse_sync.store.hashing import Answer, Question, answer_to, hash_file
from synapse_sync.store.incoming import copy_in, is_same, move_in
from synapse_sync.store.notes import Notes
from synapse_sync.store.owners import Owners
from synapse_sync.store.refused import QUARANTINE

#: Temporary files older than this (seconds since the last write) belong to a process that was killed.
_STALE = 86_400.0
#: How many paths of blobs are kept: a sync needs each a dozen times, and making one costs as much as a call.
_PATHS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobEntry:
    """A blob on disk; `size` in bytes."""

    sha256: str
    size: int
    mtime_ns: int
    path: Path


class BlobStore:
    """The store below `root`: blobs, notes on each (`meta`), quarantine, partial downloads, locks.

    A blob is trusted while its size and modification time are those that were noted when it was hashed; in doubt
    it is hashed again. A blob or note of an owner whom `owners` do not trust may change at any time: such a blob is
    hashed by every process that uses it, and only copied; such a note counts as none. Methods raise `StorageError`
    when the disk refuses.
    """

    def __init__(self, root: Path, owners: Owners | None = None) -> None:
        # Absolute, since symbolic links to blobs are; not resolved, since the user chose this way to it.
        self.root: Path = Path(os.path.abspath(root))  # noqa: PTH100
        self._owners = Owners(self.root) if owners is None else owners
        self._paths: dict[str, Path] = {}
        self._notes = Notes(self.root, self._owners)
        self._foreign: dict[str, tuple[int, ...]] = {}  # right blobs of others, as they were hashed
        self._bad: dict[str, tuple[int, ...]] = {}  # changed blobs, as they were hashed

    def path(self, sha256: str) -> Path:
        """The path of the blob with this digest, whether it exists or not; raises `ValueError` for no digest."""
        if (known := self._paths.get(sha256)) is not None:
            return known
        if not is_sha256(sha256):
            raise ValueError("not a SHA-256 in lower-case hexadecimal")
        if len(self._paths) > _PATHS:
            self._paths.clear()
        path = self._paths[sha256] = self.root / f"blobs/sha256/{sha256[:2]}/{sha256}"
        return path

    def temporary(self) -> Path:
        """A path for a new temporary file on the store's own file system; its directory exists."""
        directory = self.root / "tmp"
        with _doing("making the store's directory"):
            make_dirs(directory)
        return directory / random_name()

    # -- one store, or several (`several.py`) ------------------------------------------------------

    @property
    def members(self) -> tuple[BlobStore, ...]:
        """The stores that work as this one, the main one first."""
        return (self,)

    def home(self, sha256: str | None) -> BlobStore:
        """The store that has a blob, or receives it; None is for a blob whose digest is not known yet."""
        return self

    def expect(self, sha256: str, directory: Path) -> None:
        """Hear that a blob is going to be placed in a directory, before it is received."""

    def beside(self, directory: Path, sha256: str | None = None) -> BlobStore:
        """The store on the volume of a directory; without one the home of the blob, or else the main store."""
        return self

    def near(self, sha256: str, directory: Path) -> Path:
        """The path of a blob to link into a directory; a blob of another volume is copied beside it first."""
        return self.path(sha256)

    # -- asking ------------------------------------------------------------------------------------

    def has(self, sha256: str) -> bool:
        """Whether the store has this blob, whole and unchanged.

        A changed one stays until a sync or `verify` sets it aside: the user may have changed it through a link.
        """
        path = self.path(sha256)
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise storage_error(error, "looking into the store") from error
        with _doing("looking into the store"):
            if not stat.S_ISREG(found.st_mode):
                raise StorageError(f"{path} is not a regular file", hint="move it out of the store")
            if self._bad.get(sha256) == _look(found):
                return False
            if not self._owners.trust(found):
                return self._foreign.get(sha256) == _look(found) or self._recheck(sha256)
            return self._trusts(sha256, found) or self._recheck(sha256)

    def is_changed(self, sha256: str) -> bool:
        """Whether a file with other bytes has the name of this blob: a user may have changed it through a link."""
        path = self.path(sha256)  # looked for once more at the end: a collection may have dropped it meanwhile
        return os.path.lexists(path) and not self.has(sha256) and os.path.lexists(path)

    def is_foreign(self, sha256: str) -> bool:
        """Whether another user owns a blob, who may change it at any time: it is copied, never linked or moved."""
        try:
            return not self._owners.trust(self.path(sha256).lstat())
        except OSError:
            return False

    def true_size(self, sha256: str, said: int) -> int | None:
        """The size of a blob in bytes where it is not the one that was `said`; None where that may be right."""
        try:
            size = os.lstat(
                f"{self.root}/blobs/sha256/{sha256[:2]}/{sha256}"
            ).st_size  # a path costs ten times as much
        except OSError:
            return None
        return size if size != said and self.has(sha256) else None

    def _trusts(self, sha256: str, found: os.stat_result) -> bool:
        meta = self._notes.of(sha256)
        return meta.get("size") == found.st_size and meta.get("mtime_ns") == found.st_mtime_ns

    def _recheck(self, sha256: str) -> bool:
        """Hash a blob whose stat is not the noted one; a bad one is not used."""
        path = self.path(sha256)
        try:
            before = path.lstat()
            good = hash_file(path) == sha256
            after = path.lstat()
        except FileNotFoundError:
            return False
        if not is_same(before, after):
            return False  # it is being written, or another process has just replaced it: not trusted yet
        if good:
            if self._owners.trust(after):
                self._notes.add(sha256, after)
            else:
                self._foreign[sha256] = _look(after)
        else:
            self._bad[sha256] = _look(after)
        return good

    def verify(self, sha256: str) -> bool:
        """Hash a blob again, whatever its stat says; False also if there is none.

        A bad one stays where it is, but is no longer trusted.
        """
        with _doing("reading the store"):
            try:
                answer = answer_to(self.question(self.path(sha256), sha256))
                self.heard(sha256, answer)
            except FileNotFoundError:
                return False
        return answer.right

    def heard(self, sha256: str, answer: Answer) -> None:
        """Note whether a blob was found right; raises `OSError`, and `StorageError` where it cannot be noted."""
        if answer.right:
            found = self.path(sha256).lstat()
            if (answer.size, answer.mtime_ns) == (found.st_size, found.st_mtime_ns) and self._owners.trust(found):
                self._notes.add(sha256, found, blake3=answer.blake3)
        else:
            with where_writable():
                self._notes.forget(sha256)

    def question(self, path: Path, sha256: str) -> Question:
        """The question whether a file has the content of this digest, with everything that is known of it.

        Own blobs are read through a memory map on all cores. Other files are read plainly: one that its owner
        truncates meanwhile must not kill the process.
        """
        mapped = path == self.path(sha256) and not self.is_foreign(sha256)
        return Question(path, sha256, self.blake3(sha256), mapped)

    def matches(self, path: Path, sha256: str) -> bool:
        """Whether a file has the content of this digest; by BLAKE3 where that digest is known. Raises `OSError`."""
        answer = answer_to(self.question(path, sha256))
        self.learn(sha256, answer)
        return answer.right

    def learn(self, sha256: str, answer: Answer) -> None:
        """Note the BLAKE3 of a blob that is trusted: a fast download came without it."""
        if answer.blake3 is None:
            return
        found = self.path(sha256).lstat()
        if self._owners.trust(found) and self._trusts(sha256, found):
            self._notes.add(sha256, found, blake3=answer.blake3)

    def entries(self) -> Iterator[BlobEntry]:
        """Every blob; other files in the store's directories are passed over."""
        for directory in sorted((self.root / "blobs" / "sha256").glob("[0-9a-f][0-9a-f]")):
            names = sorted(directory.iterdir()) if directory.is_dir() else ()
            for path in names:
                if not is_sha256(path.name) or path.name[:2] != directory.name:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode):
                        yield BlobEntry(sha256=path.name, size=found.st_size, mtime_ns=found.st_mtime_ns, path=path)

    def blake3(self, sha256: str) -> str | None:
        """The BLAKE3 that was computed when the blob was verified, if it was."""
        value = self._notes.of(sha256).get("blake3")
        return value if isinstance(value, str) and is_sha256(value) else None  # both have 64 digits

    def origin(self, sha256: str) -> str | None:
        """The reference that the blob was downloaded from, or None."""
        value = self._notes.of(sha256, anyone=True).get("origin")  # it only says where the bytes may be had again
        return value if isinstance(value, str) else None

    def is_public(self, sha256: str) -> bool:
        """Whether only the umask of this user keeps others from reading a blob, and not the mode of its source."""
        return self._notes.of(sha256).get("readers") == "all"

    # -- bringing in ---------------------------------------------------------------------------------

    def publish(
        self,
        temp: Path,
        *,
        sha256: str,
        size: int,
        blake3: str | None = None,
        origin: str | None = None,
        mode: int = READ_ONLY,
    ) -> Path:
        """Move a file whose content was verified into the store, durably; returns its place.

        `temp` must be on the store's file system. `origin` is the reference that can give the bytes again.
        """
        path, readers = self.path(sha256), None
        with _doing(f"publishing {sha256[:12]}…"):
            found = temp.stat()
            if found.st_size != size:
                raise IntegrityError(f"{sha256[:12]}…: {found.st_size} bytes instead of {size}")
            if self.has(sha256):
                remove(temp)
                found = path.stat()
            else:
                self.make_way(sha256)
                make_dirs(path.parent)
                set_mode(temp, mode)
                readers = _readers(temp.stat()) if mode == READ_ONLY else None
                # In this order: a name that survives a power loss without its bytes would be a bad blob.
                _settle_bytes(temp)
                replace_file(temp, path)
                fsync_dir(path.parent)
            # The note goes last: without it the blob is hashed again, with it too early a bad one would be trusted.
            self._notes.add(sha256, found, blake3=blake3, origin=origin, readers=readers)
        return path

    def publish_bytes(self, data: memoryview, *, sha256: str, origin: str) -> Path | None:
        """Write verified bytes as a blob that the store does not have, durably; returns its place.

        `origin` is the reference that can give the bytes again. None, and nothing is written, where an earlier run
        left a partial download of the blob. The caller holds the lock of that download.
        """
        path = self.path(sha256)
        temp = self.root / f"partials/{sha256}"
        with _doing(f"publishing {sha256[:12]}…"):
            try:
                handle = _create(temp)
            except FileExistsError:
                return None
            try:
                try:
                    while data:
                        data = data[os.write(handle, data) :]
                    # The same order as in `publish`: bytes, name, directory, note.
                    flush(handle)
                    found = os.fstat(handle)
                finally:
                    os.close(handle)
                self.make_way(sha256)
                try:
                    replace_file(temp, path)
                except FileNotFoundError:
                    make_dirs(path.parent)
                    replace_file(temp, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    remove(temp)
                raise
            fsync_dir(path.parent)
            self._notes.add(sha256, found, origin=origin, readers=_readers(found))
        return path

    def import_file(
        self,
        source: Path,
        *,
        sha256: str,
        move: bool = False,
        origin: str | None = None,
        advanced: Callable[[int], None] = lambda count: None,
    ) -> Path:
        """Bring a file from elsewhere into the store: cloned or copied (with `move`, renamed), and hashed.

        Without `move`, the source is not even read if the store has the blob already, and `origin` is the reference
        that can give the bytes again. `advanced` hears how many more bytes were copied; an exception that it raises
        ends the copy. Raises `IntegrityError` if the content is another one, `Conflict` if the source is no regular
        file or changes meanwhile; then it stays.
        """
        with _doing(f"taking {source.name} into the store"):
            found = source.lstat() if move else source.stat()
            if not stat.S_ISREG(found.st_mode):
                raise Conflict(f"{source} is not a regular file; left where it is")
            if move:
                return move_in(self, self._notes, source, sha256)
            return self.path(sha256) if self.has(sha256) else copy_in(self, source, sha256, origin, advanced)

    # -- setting aside and dropping ------------------------------------------------------------------

    def make_way(self, sha256: str) -> None:
        """Check that no changed blob is in the place of right bytes, right before they come; raises `Conflict`."""
        check_unchanged(self, {sha256: f"{sha256[:12]}…"})

    def quarantine(self, sha256: str, why: str) -> Path | None:
        """Set a bad blob aside, with a note; it is never used again. None if there is none."""
        path = self.path(sha256)
        directory = self.root / QUARANTINE
        with _doing("setting a bad blob aside"):
            make_dirs(directory)
            number = 1
            while True:
                aside = directory / f"{sha256}-{number}"
                try:
                    rename_new(path, aside)
                    break
                except FileExistsError:
                    number += 1
                except (FileNotFoundError, NotADirectoryError):
                    return None
            # The note would make a later blob of this name trusted by its stat alone.
            self._notes.forget(sha256)
            fsync_dir(path.parent)
            fsync_dir(directory)
            write_atomic(aside.with_name(f"{aside.name}.why"), f"{why}\n".encode())
        return aside

    def has_aside(self, sha256: str, place: Path) -> bool:
        """Whether a file is another name of a blob in quarantine: its bytes are kept there."""
        with _doing("looking into the quarantine"):
            aside = (self.root / QUARANTINE).glob(f"{sha256}-*")
            return any(path.suffix != ".why" and path.samefile(place) for path in aside)

    def remove(self, sha256: str) -> int:
        """Drop a blob; returns the bytes that this frees (none while a tree has a hard link to it)."""
        path = self.path(sha256)
        with _doing("dropping a blob"):
            try:
                found = path.lstat()
                remove(path)
            except (FileNotFoundError, NotADirectoryError):
                return 0
            self._notes.forget(sha256)
        return found.st_size if found.st_nlink == 1 else 0

    def sweep(self, now: float | None = None) -> int:
        """Remove temporary files that killed processes left more than a day ago; returns the freed bytes."""
        limit = (time.time() if now is None else now) - _STALE
        freed, directory = 0, self.root / "tmp"
        for path in directory.iterdir() if directory.is_dir() else ():
            with contextlib.suppress(OSError):
                found = path.lstat()
                if is_random_name(path.name) and stat.S_ISREG(found.st_mode) and found.st_mtime < limit:
                    remove(path)
                    freed += found.st_size
        sweep_temporaries(self.root, limit, skipped=frozenset({"blobs", "tmp"}))
        for name in ("blobs", "meta", "partials"):
            links.sweep(self.root / name, now)  # empty files, from trials of whether the store can be written to
        return freed


def _create(path: Path) -> int:
    """Create a file with the mode of a blob, and open it for writing; raises `FileExistsError` if it exists."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, flags, READ_ONLY)
    except FileNotFoundError:
        make_dirs(path.parent, durable=False)
        return os.open(path, flags, READ_ONLY)


def _readers(found: os.stat_result) -> str | None:
    """The note on a new blob that is for everybody, and that the umask keeps for fewer; None for any other."""
    return "all" if found.st_mode & 0o044 != 0o044 else None


def _look(found: os.stat_result) -> tuple[int, ...]:
    """How a blob of another user looked: they can set its other times, but not that of its last change."""
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_uid)


def _settle_bytes(temp: Path) -> None:
    """fsync, once: when that fails the kernel may have dropped the bytes, so that the file must not be used."""
    try:
        fsync_file(temp)
    except OSError:
        remove(temp, missing_ok=True)
        raise


@contextlib.contextmanager
def _doing(what: str) -> Iterator[None]:
    """Raise errors of the file system as `StorageError`, with what was being done."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, what) from error

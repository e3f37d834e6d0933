"""Partial downloads: files that wait for the rest of their bytes, with what is needed to go on.

`partials/<key>` holds the bytes at their final places, `partials/<key>.json` the size, the validators and the
ranges that are on disk for certain. The key is the SHA-256, or a hash of the reference where no digest is known.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeGuard

from synapse_sync.store.durable import (
    SHARED,
    flush,
    make_dirs,
    remove,
    replace_file,
    set_mode,
    storage_error,
    write_atomic,
)
from synapse_sync.store.writeback import Writeback
from synapse_sync.user.small_files import read_small

Range = tuple[int, int]  # (start, end), end exclusive

_DAY = 86_400.0


def partial_key(sha256: str | None, reference: str) -> str:
    """The name of a partial download: its digest, or one that is made from its location."""
    return sha256 or "url-" + hashlib.sha256(reference.encode()).hexdigest()[:40]


def has_partial(root: Path, sha256: str) -> bool:
    """Whether an earlier run left a partial download of this blob, whatever is in it."""
    return os.path.lexists(f"{root}/partials/{sha256}")


def place_id(reference: str) -> str:
    """A short name for a location: readers of the store must not see the location itself."""
    return hashlib.sha256(reference.encode()).hexdigest()[:16]


def add_range(ranges: list[Range], start: int, end: int) -> None:
    """Add a range to sorted, disjoint ranges, in place; ranges that touch are merged."""
    if start >= end:
        return
    low = next((i for i, known in enumerate(ranges) if known[1] >= start), len(ranges))
    high = low
    while high < len(ranges) and ranges[high][0] <= end:
        start, end = min(start, ranges[high][0]), max(end, ranges[high][1])
        high += 1
    ranges[low:high] = [(start, end)]


def missing_ranges(done: Iterable[Range], total: int) -> list[Range]:
    """The ranges of `total` bytes that sorted, disjoint ranges do not cover."""
    out: list[Range] = []
    at = 0
    for start, end in done:
        if at < start:
            out.append((at, start))
        at = end
    return [*out, (at, total)] if at < total else out


def _make_ours(path: Path) -> None:
    """Make a partial download writable again, if its process was killed while publishing it.

    A file with a second name is never written to: it may already be a model in a tree.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        return
    if found.st_nlink > 1:
        remove(path)
        remove(path.with_name(f"{path.name}.json"), missing_ok=True)
    elif not found.st_mode & stat.S_IWUSR:
        set_mode(path, SHARED)


class Partial:
    """One partial download, open for writing; `write` may be called from several threads.

    Every method that touches the disk raises `StorageError`.
    """

    def __init__(self, root: Path, key: str) -> None:
        self.path: Path = root / f"partials/{key}"
        self.state_path: Path = root / f"partials/{key}.json"
        self.total: int | None = None
        self.etag: str | None = None
        self.last_modified: str | None = None
        self.place: str | None = None
        self._done: list[Range] = []
        self._lock = threading.Lock()
        self._saved: dict[str, Any] | None = None
        self._may_have_state = True
        self._fd = -1
        self._writeback = Writeback()
        try:
            fresh = self._open()
        except OSError as error:
            raise storage_error(error, f"opening {self.path}") from error
        if not fresh:
            self._load()

    @property
    def done(self) -> tuple[Range, ...]:
        """The ranges that were written, merged and in order."""
        with self._lock:
            return tuple(self._done)

    @property
    def done_bytes(self) -> int:
        """How many bytes were written."""
        return sum(end - start for start, end in self.done)

    @property
    def frontier(self) -> int:
        """The number of bytes from the beginning to the first gap."""
        done = self.done
        return done[0][1] if done and done[0][0] == 0 else 0

    @property
    def complete(self) -> bool:
        """Whether every byte was written."""
        return self.total is not None and self.frontier == self.total

    def missing(self) -> list[Range]:
        """The ranges that are still missing; the size must be known."""
        assert self.total is not None
        return missing_ranges(self.done, self.total)

    def begin(self, total: int | None, *, etag: str | None, last_modified: str | None, place: str) -> None:
        """Start anew, with a file of this size in bytes."""
        self._forget()
        self._truncate(total or 0)
        self.total, self.etag, self.last_modified, self.place = total, etag, last_modified, place

    def reset(self) -> None:
        """Drop every byte that was written."""
        self._forget()
        self._truncate(0)

    def _forget(self) -> None:
        with self._lock:
            self._done = []
        self.total = self.etag = self.last_modified = self.place = None
        self._drop_state()

    def end_at(self, total: int) -> None:
        """Set the size, in bytes, of a file whose server did not state it; it is known at the end."""
        self.total = total

    def write(self, offset: int, data: memoryview) -> None:
        """Write bytes at an offset."""
        start = offset
        try:
            while len(data):
                count = _pwrite(self._fd, data, offset, self._lock)
                data, offset = data[count:], offset + count
        except OSError as error:
            raise storage_error(error, f"writing {self.path}") from error
        self._writeback.wrote(self._fd, offset - start)
        with self._lock:
            add_range(self._done, start, offset)

    def save(self) -> None:
        """Flush the written bytes, then note which they are."""
        done = self.done
        state = {
            "size": self.total,
            "etag": self.etag,
            "last_modified": self.last_modified,
            "place": self.place,
            "done": [list(pair) for pair in done],
        }
        if self.total is None or not done or state == self._saved:
            return
        try:
            # The bytes first: a state that names ranges which a power loss took would be believed.
            self._settle()
            self._may_have_state = True
            write_atomic(self.state_path, json.dumps(state).encode())
        except OSError as error:
            raise storage_error(error, f"writing {self.state_path}") from error
        self._saved = state

    def _settle(self) -> None:
        """fsync; when that fails the kernel may have dropped bytes, and would call the next one a success."""
        try:
            flush(self._fd, data_only=True)
        except OSError:
            with self._lock:
                self._done = []
            self._drop_state()
            raise

    def close(self) -> None:
        """Close the file; what is on disk stays there."""
        if self._fd >= 0:
            self._writeback.settle()
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def published(self) -> None:
        """The file has moved into the store: nothing is left to be remembered."""
        self.close()
        self._drop_state()

    def discard(self) -> None:
        """Remove file and state."""
        self.close()
        self._drop_state()
        try:
            remove(self.path, missing_ok=True)
        except OSError as error:
            raise storage_error(error, f"removing {self.path}") from error

    def set_aside(self, aside: Path) -> Path:
        """Move the file to the path `aside`, so that it can be looked at; what was there goes."""
        self.close()
        self._drop_state()
        try:
            make_dirs(aside.parent, durable=False)
            replace_file(self.path, aside)
        except OSError as error:
            raise storage_error(error, f"moving {self.path}") from error
        return aside

    def _open(self) -> bool:
        """Open the file for writing; returns whether it is new."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._fd = os.open(self.path, flags | os.O_EXCL, SHARED)
        except FileNotFoundError:
            make_dirs(self.path.parent, durable=False)
            return self._open()
        except FileExistsError:
            _make_ours(self.path)
            try:
                self._fd = os.open(self.path, flags, SHARED)
            except PermissionError:
                # Another user of this store began it, and nobody else may write to it. The lock of this download is
                # held. The state goes first: without its bytes it would name ranges that do not exist.
                remove(self.state_path, missing_ok=True)
                remove(self.path)
                return self._open()
            return False
        return True

    def _truncate(self, size: int) -> None:
        """Never a file that another process has published meanwhile: on some network file systems locks lie.

        Between look and act is still a moment, so that nothing is done where nothing has to be.
        """
        try:
            found = os.fstat(self._fd)
            if found.st_size == size:
                return
            if not os.path.samestat(found, self.path.stat()):
                raise FileNotFoundError(errno.ENOENT, "another process has published it", str(self.path))
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise storage_error(error, f"writing {self.path}") from error

    def _drop_state(self) -> None:
        self._saved = None
        if not self._may_have_state:
            return
        try:
            remove(self.state_path, missing_ok=True)
        except OSError as error:
            raise storage_error(error, f"removing {self.state_path}") from error
        self._may_have_state = False

    def _load(self) -> None:
        """Read the state of an earlier run, if it is consistent with the file."""
        state = _read_state(self.state_path)
        if state is None or os.fstat(self._fd).st_size != state["size"]:
            return
        self.total = state["size"]
        self.etag, self.last_modified, self.place = state["etag"], state["last_modified"], state["place"]
        for start, end in state["done"]:
            add_range(self._done, start, end)
        self._saved = state


def bytes_begun(root: Path, sha256: str) -> int:
    """The number of bytes of this blob that an earlier run left in the store at `root`."""
    state = _read_state(root / "partials" / f"{sha256}.json")
    if state is None:
        return 0
    done: list[Range] = []
    for start, end in state["done"]:
        add_range(done, start, end)
    return sum(end - start for start, end in done)


def begun(root: Path) -> set[str]:
    """The keys of the partial downloads below `root` whose progress an earlier run wrote down."""
    try:
        names = os.listdir(root / "partials")  # noqa: PTH208 - names are all that is needed
    except OSError:
        return set()
    return {name.removesuffix(".json") for name in names if name.endswith(".json")}


def old(root: Path, days: float, now: float | None = None) -> list[Path]:
    """The files under `partials/` that nothing touched for this many days."""
    limit = (time.time() if now is None else now) - days * _DAY
    try:
        return sorted(p for p in (root / "partials").iterdir() if p.is_file() and p.lstat().st_mtime < limit)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, f"reading {root / 'partials'}") from error


def sweep(root: Path, days: float, now: float | None = None) -> int:
    """Remove partial downloads that nothing touched for this many days; returns the freed bytes."""
    freed = 0
    for path in old(root, days, now):
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if sys.platform == "win32":
                freed += found.st_size
            else:
                freed += found.st_blocks * 512
            remove(path)
    return freed


def _read_state(path: Path) -> dict[str, Any] | None:
    """The state that `save` wrote, or None for any other content."""
    try:
        state = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(state, dict) or not _is_count(size := state.get("size")):
        return None
    texts = all(isinstance(state.get(key), str | None) for key in ("etag", "last_modified", "place"))
    done = state.get("done")
    if not texts or not isinstance(done, list) or not all(_is_range(pair, size) for pair in done):
        return None
    return {key: state.get(key) for key in ("size", "etag", "last_modified", "place", "done")}


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_range(pair: object, size: int) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(_is_count(number) for number in pair)
        and pair[0] < pair[1] <= size
    )


def _pwrite(fd: int, data: memoryview, offset: int, lock: threading.Lock) -> int:
    if sys.platform == "win32":
        with lock:  # one file position for all threads
            os.lseek(fd, offset, os.SEEK_SET)
            return os.write(fd, data)
    else:
        return os.pwrite(fd, data, offset)

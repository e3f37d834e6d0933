"""Hashing during a download: a thread follows the bytes that are on disk without a hole."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.blocks import new_block
from synapse_sync.core.frozen import dataclass
from synapse_sync.store.durable import storage_error
from synapse_sync.threads import begin

if TYPE_CHECKING:
    from blake3 import blake3

    from synapse_sync.net.stream import Stream

_BLOCK = 1 << 20
#: For fewer bytes, no thread is started; they are hashed at the end.
_WORTH_A_THREAD = 4 << 20
_TICK = 1.0
#: The number of blocks between the network and the hashes; the network waits for a free one.
_BLOCKS = 8
#: After this many hashed bytes it shows whether the network or the processor is the limit.
_TELLING = 32 << 20
#: The processor is the limit while this process uses so much of one core, or while the network waits for the hashes
#: before so much of all blocks: other processes may have the cores.
_BUSY, _AWAITED = 0.9, 0.25
#: Blocks of earlier files for reuse, since Python fills a new one with zeros.
_spare: deque[memoryview] = deque(maxlen=_BLOCKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """The size in bytes and the digests of a file; `blake3` and `git_sha1` only if they were requested."""

    size: int
    sha256: str
    blake3: str | None = None
    git_sha1: str | None = None


class _Hashes:
    """The hashes of a growing prefix."""

    def __init__(self, git_size: int | None, *, fast: bool) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.blake3: blake3 | None = None
        if fast:
            from blake3 import blake3

            self.blake3 = blake3()
        self.git = None if git_size is None else hashlib.sha1(b"blob %d\0" % git_size, usedforsecurity=False)

    def update(self, block: memoryview) -> None:
        self.sha256.update(block)
        if self.blake3 is not None:
            self.blake3.update(block)
        if self.git is not None:
            self.git.update(block)
        self.size += len(block)

    def digests(self) -> Digests:
        return Digests(
            size=self.size,
            sha256=self.sha256.hexdigest(),
            blake3=None if self.blake3 is None else self.blake3.hexdigest(),
            git_sha1=None if self.git is None else self.git.hexdigest(),
        )


def digest_file(path: Path, *, git: bool = False, stop: Callable[[], bool] = lambda: False) -> Digests:
    """The size and all digests of a file at rest; `stop` is asked between blocks and ends it early.

    `git` asks for git's own hash, too. Raises `StorageError`.
    """
    try:
        with path.open("rb", buffering=0) as file:
            hashes = _Hashes(path.stat().st_size if git else None, fast=True)
            buffer = new_block(_BLOCK)
            while (count := file.readinto(buffer)) and not stop():
                hashes.update(buffer[:count])
    except OSError as error:
        raise storage_error(error, f"reading {path}") from error
    return hashes.digests()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How far the hashes are: `hashed` bytes, and the share of blocks for which the network had to wait."""

    hashed: int
    awaited: float


def is_hurried(pace: Pace, fetched: int, took: float, worked: float, enough: float) -> bool:
    """Whether the processor is the limit, for this file or for all at once: then the SHA-256 has to do.

    `fetched` are the bytes of the file, `took` the seconds since its request, `worked` the processor time of this
    process in them, `enough` the bytes per second that no network has.
    """
    if pace.hashed < _TELLING:
        return False
    return pace.awaited > _AWAITED or worked > _BUSY * took or fetched > enough * took


def take_block() -> memoryview:
    """Return a block to receive bytes into; return it with `put_back`."""
    try:
        return _spare.pop()
    except IndexError:
        return new_block(_BLOCK)


def put_back(block: memoryview) -> None:
    """Keep a block for reuse."""
    _spare.append(block)


class Chaser:
    """Hashes a file while it is written: `advance` says how far it may read, `finish` returns the digests.

    The thread reads bytes back from the page cache, so memory stays at some blocks whatever the file size. Bytes in
    order are hashed from memory: `lend` returns a block to receive them into, `give` hands it over. The thread
    calls `tick` about once a second; `check` and `finish` raise its errors. `fast` asks for the BLAKE3, too. It is
    given up as soon as `hurried` says so.
    """

    def __init__(
        self,
        path: Path,
        *,
        git_size: int | None = None,
        fast: bool = True,
        hurried: Callable[[Pace], bool] = lambda pace: False,
        tick: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._hurried = hurried
        self._tick = tick
        self._hashes = _Hashes(git_size, fast=fast)
        self._limit = 0
        self._over = False
        self._cancelled = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._refused = False
        self._free: list[memoryview] = []
        self._made = 0
        self._lent = self._awaited = 0
        self._given: deque[tuple[int, int, memoryview]] = deque()

    @property
    def hashed(self) -> int:
        """The number of hashed bytes."""
        return self._hashes.size

    @property
    def idle(self) -> bool:
        """Whether the thread is not started yet."""
        return self._thread is None

    def advance(self, frontier: int) -> None:
        """Note that everything before `frontier` is written and will not change."""
        with self._changed:
            if frontier <= self._limit:
                return
            self._limit = frontier
            self._has_thread()
            self._changed.notify_all()

    def _has_thread(self) -> bool:
        """Whether a thread hashes; it is started once that is worth it. Without it the caller hashes each block."""
        if self._thread is None and self._limit >= _WORTH_A_THREAD and not self._over and not self._refused:
            self._thread = threading.Thread(target=self._chase, name="synapse-hash", daemon=True)
            if not begin(self._thread):
                self._thread, self._refused = None, True
        return self._thread is not None

    def receive(self, stream: Stream, at: int, most: int, write: Callable[[int, memoryview], object]) -> int:
        """Read up to `most` bytes from a stream, hand them to `write` for the place `at`, and return their number.

        They are hashed from memory if they are the next to be hashed.
        """
        block = self.lend(at)
        into = take_block() if block is None else block
        count = 0
        try:
            count = stream.readinto(into[:most])
            if count:
                write(at, into[:count])
        except BaseException:
            count = 0
            raise
        finally:
            if block is None:
                put_back(into)
            else:
                self.give(at, block, count)
        return count

    def lend(self, at: int) -> memoryview | None:
        """Wait for a free block for the bytes from `at` on, and return it.

        Returns None if those are not the next ones, or if the thread still reads earlier ones back from the file:
        it is far behind then, and the network does not wait for it.
        """
        with self._changed:
            self._lent += 1
            has_waited = False
            while at == self._limit and not self._over and self._error is None:
                if self._free:
                    return self._free.pop()
                if self._made < _BLOCKS:
                    self._made += 1
                    return take_block()
                self._awaited += not has_waited
                has_waited = True
                if self._given and self._given[0][0] > self._hashes.size:
                    return None
                self._changed.wait(_TICK)
        return None

    def give(self, at: int, block: memoryview, count: int) -> None:
        """Take back a block; its first `count` bytes are in the file, too, from `at` on."""
        with self._changed:
            if not count or at != self._limit or self._over:
                self._free.append(block)
                self._changed.notify_all()
                return
            self._limit = at + count
            if self._has_thread():
                self._given.append((at, count, block))
                self._changed.notify_all()
                return
            if at == self._hashes.size:  # else earlier bytes are only in the file: all is read at the end
                # Race: without the lock, `advance` of another connection starts the thread meanwhile, which reads
                # the same bytes from the file and hashes them a second time.
                self._hashes.update(block[:count])
            self._free.append(block)

    def check(self) -> None:
        """Raise the error of the thread, if it had one."""
        if self._error is not None:
            raise self._error

    def finish(self) -> Digests:
        """Hash the rest and return the digests. Raises `StorageError`."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        else:
            self._chase()
        self.check()
        _spare.extend(self._free)
        self._free.clear()
        return self._hashes.digests()

    def cancel(self) -> None:
        """Stop the thread; harmless after `finish`."""
        with self._changed:
            self._over = self._cancelled = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _chase(self) -> None:
        if self._thread is None and self._limit == self._hashes.size:
            return  # every byte was hashed from memory
        try:
            with self._path.open("rb", buffering=0) as file:
                buffer = new_block(min(_BLOCK, max(1, self._limit)))
                while (limit := self._wait()) > self._hashes.size and not self._cancelled:
                    if self._given and self._given[0][0] <= self._hashes.size:
                        self._take()
                        continue
                    until = self._given[0][0] if self._given else limit
                    file.seek(self._hashes.size)
                    count = file.readinto(buffer[: until - self._hashes.size])
                    if not count:
                        raise OSError(None, "the file became shorter while it was read")
                    self._hashes.update(buffer[:count])
                    self._hurry()
        except Exception as error:  # hazard: after any other end, threads that wait for a block would wait for ever
            self._end(error)

    def _end(self, error: Exception) -> None:
        """Keep the error for `check`, and wake the threads that wait."""
        found = storage_error(error, f"reading {self._path}") if isinstance(error, OSError) else error
        if found is not error:
            found.__cause__ = error
        with self._changed:
            self._error = found
            self._changed.notify_all()

    def _take(self) -> None:
        """Hash the first block of the queue; one that was read from the file meanwhile is only freed."""
        at, count, block = self._given[0]
        if at == self._hashes.size:
            self._hashes.update(block[:count])
        self._hurry()
        with self._changed:
            self._given.popleft()
            self._free.append(block)
            self._changed.notify_all()

    def _hurry(self) -> None:
        """Give the BLAKE3 up, if there is no time for it."""
        if self._hashes.blake3 is None:
            return
        if self._hurried(Pace(hashed=self._hashes.size, awaited=self._awaited / max(1, self._lent))):
            self._hashes.blake3 = None

    def _wait(self) -> int:
        """Return how far the file may be read; wait for more unless it is complete."""
        while True:
            if self._tick is not None:
                self._tick()
            with self._changed:
                if self._limit > self._hashes.size or self._over:
                    return self._limit
                self._changed.wait(_TICK)

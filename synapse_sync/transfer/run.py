"""Transfer: many files into the store at once, the largest first, each verified before it is published."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synapse_sync.core.artifact import Archive
from synapse_sync.core.reference import Reference
from synapse_sync.core.reporter import Reporter
from synapse_sync.errors import SynapseError
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Stream, Wire
from synapse_sync.sources.base import Source
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.host_speeds import read_speeds, remember_speeds
from synapse_sync.store.partials import partial_key
from synapse_sync.transfer.health import Health

#: Files below this are bound by latency, not by bandwidth: some more of them may come at once.
SMALL = 8 << 20
#: So many threads begin where all files are small.
_FIRST_LANES = 2
_EXTRA_LANES = 8
#: More threads help only while this process waits for others: with more to do they stand in each other's way.
_BUSY = 0.5
_LOOK = 0.15
#: How long an interrupt waits for the threads to write down how far they came.
_FAREWELL = 3.0
_WATCH = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """One file to have, and where it can be got. What is None is not known.

    Places are tried in order; where a digest decides, those of hosts that failed in this run come last, and those
    of hosts that were much slower than others come later.

    `key` is the caller's own. `text_ok` says that a JSON or HTML document may be the right answer. With `archive`
    the places give that archive, of which the file is a member; `transfer` itself knows only whole files.
    """

    key: str
    places: tuple[Reference, ...]
    sha256: str | None
    size: int | None
    blake3: str | None
    git_sha1: str | None
    subject: str
    text_ok: bool = False
    format: str = "other"
    allow_pickle: bool = False
    archive: Archive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A file that is in the store: `path` is the blob, `place` where it came from (None: it was there already).

    `taken_from` is the file on this machine that was copied instead of downloading it.
    """

    want: Want
    sha256: str
    blake3: str | None
    size: int
    path: Path
    fetched_bytes: int = 0
    place: Reference | None = None
    taken_from: Path | None = None


#: Looks at a complete and verified file before it is published; raises `SynapseError` to prevent that.
Inspect = Callable[[Path, Want], None]
#: Files on this machine that may have the wanted bytes and need not be downloaded; nothing of them is believed.
Nearby = Callable[[Want], Iterable[Path]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much at once. `limit_rate` is in bytes per second over all; None is unlimited.

    `connections` is for all hosts together, `per_host` for each of those that were asked for the files.

    A file from `split_from` bytes on may come in ranges of `piece` bytes over several connections, as long as one
    connection alone is slower than `fast_enough` bytes per second; whether more of them bring more is looked at
    every `look_every` seconds. A stream that stays below `slowest` bytes per
    second for `patience` seconds is given up and asked for again.
    """

    downloads: int = 4
    connections: int = 32
    per_host: int = 16
    limit_rate: int | None = None
    split_from: int = 32 << 20
    piece: int = 8 << 20
    streams_per_file: int = 16
    look_every: float = 0.1
    fast_enough: float = 300e6
    slowest: float = 1024.0
    patience: float = 60.0


class Bucket:
    """Shares a rate among all threads: who has received bytes sleeps until they were due."""

    def __init__(self, rate: int | None, stop: threading.Event) -> None:
        self.rate = rate
        self._stop = stop
        self._due = time.monotonic()
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Account for bytes, and wait for them; returns early when all is stopped."""
        if self.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now) + count / self.rate
            wait = self._due - now
        self._stop.wait(wait)


class Crew:
    """What the downloads of one transfer share."""

    def __init__(
        self,
        *,
        store: BlobStore,
        sources: Mapping[str, Source],
        wire: Wire,
        reporter: Reporter,
        limits: Limits,
        inspect: Inspect,
        retry: Retry,
        nearby: Nearby,
    ) -> None:
        self.store = store
        self.sources = sources
        self.wire = wire
        self.reporter = reporter
        self.limits = limits
        self.inspect = inspect
        self.retry = retry
        self.nearby = nearby
        self.stop = threading.Event()
        self.bucket = Bucket(limits.limit_rate, self.stop)
        self.health = Health(read_speeds(store.root))
        self.active = 0
        #: How many bytes a host was last asked for in one read.
        self.steps: dict[str, int] = {}
        self._slots = threading.Semaphore(max(1, limits.connections))
        self._by_host: dict[str, threading.Semaphore] = {}
        self._streams: dict[Stream, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def slot(self, host: str, *, wait: bool) -> bool:
        """Take one of the connections to a host; False if there is none (or all is stopped)."""
        own = self._slots_of(host)
        if not self._acquire(own, wait=wait):
            return False
        if self._acquire(self._slots, wait=wait):
            return True
        own.release()
        return False

    def give_back(self, host: str) -> None:
        """Let others have the connection."""
        self._slots.release()
        self._slots_of(host).release()

    def _slots_of(self, host: str) -> threading.Semaphore:
        with self._lock:
            if host not in self._by_host:
                self._by_host[host] = threading.Semaphore(max(1, self.limits.per_host))
            return self._by_host[host]

    def _acquire(self, slots: threading.Semaphore, *, wait: bool) -> bool:
        if not wait:
            return slots.acquire(blocking=False)
        while not self.stop.is_set():
            if slots.acquire(timeout=_WATCH):
                return True
        return False

    def share(self) -> int:
        """How many connections one of the active files may use."""
        return min(self.limits.streams_per_file, self.limits.per_host // max(1, self.active))

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Count as an active file."""
        with self._lock:
            self.active += 1
        try:
            yield
        finally:
            with self._lock:
                self.active -= 1

    def watch(self, stream: Stream) -> None:
        """Have the stream given up when it is too slow, and when all is stopped."""
        with self._lock:
            self._streams[stream] = (time.monotonic(), stream.received)
        if self.stop.is_set():
            stream.abort("stopped")

    def unwatch(self, stream: Stream) -> None:
        """The stream is done with."""
        with self._lock:
            self._streams.pop(stream, None)

    def drop_slow(self, now: float) -> None:
        """Give up streams that hardly move."""
        floor = self.limits.slowest
        if self.limits.limit_rate is not None:  # we are the ones who are slow
            floor = min(floor, self.limits.limit_rate / (4 * self.limits.connections))
        with self._lock:
            for stream, (since, received) in list(self._streams.items()):
                if now - since < self.limits.patience:
                    continue
                if stream.received - received < floor * (now - since):
                    stream.abort(f"fewer than {floor:.0f} bytes a second for {self.limits.patience:.0f} s")
                self._streams[stream] = (now, stream.received)

    def halt(self) -> None:
        """Stop everything now; streams that wait for bytes are woken."""
        self.stop.set()
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.abort("stopped")


def transfer(
    wants: Sequence[Want],
    *,
    store: BlobStore,
    sources: Mapping[str, Source],
    wire: Wire,
    reporter: Reporter,
    limits: Limits | None = None,
    inspect: Inspect,
    retry: Retry | None = None,
    nearby: Nearby = lambda want: (),
) -> tuple[Got | SynapseError, ...]:
    """Bring files into the store; one answer for each want, in their order. Failures are values.

    An interrupt (Ctrl-C) stops all threads, writes down how far they came, and is raised again.
    """
    crew = Crew(
        store=store,
        sources=sources,
        wire=wire,
        reporter=reporter,
        limits=limits or Limits(),
        inspect=inspect,
        retry=retry or Retry(),
        nearby=nearby,
    )
    groups: dict[str, list[Want]] = {}
    for want in wants:
        groups.setdefault(_identity(want), []).append(want)
    jobs = {key: _merge(group) for key, group in groups.items()}
    sizes = [want.size for want in jobs.values()]
    reporter.transfers_planned(len(sizes), sum(filter(None, sizes)) if None not in sizes else None)
    try:
        results = _run(crew, jobs)
    finally:
        if speeds := crew.health.speeds:
            remember_speeds(store.root, speeds, time.time())
    return tuple(
        replace(result, want=want) if isinstance(result := results[_identity(want)], Got) else result
        for want in wants
    )


def _identity(want: Want) -> str:
    """Wants of the same bytes are one download."""
    return partial_key(want.sha256, str(want.places[0]) if want.places else want.key)


def _merge(group: Sequence[Want]) -> Want:
    """One want for several of the same bytes: all their places, and the strictest view of what may come."""
    first = group[0]
    return replace(
        first,
        places=tuple(dict.fromkeys(place for want in group for place in want.places)),
        size=next((want.size for want in group if want.size is not None), None),
        blake3=next((want.blake3 for want in group if want.blake3 is not None), None),
        git_sha1=next((want.git_sha1 for want in group if want.git_sha1 is not None), None),
        text_ok=all(want.text_ok for want in group),
        allow_pickle=all(want.allow_pickle for want in group),
    )


class _Work:
    """The files still to be begun: large ones, and small ones that may slip in between."""

    def __init__(self, jobs: Mapping[str, Want]) -> None:
        order = sorted(jobs.items(), key=lambda item: -(item[1].size or 0))
        self._large = deque(job for job in order if not _is_small(job[1]))
        self._small = deque(job for job in order if _is_small(job[1]))
        self._lock = threading.Lock()

    def take(self, *, small_only: bool) -> tuple[str, Want] | None:
        """The next file; large before small unless only small ones are asked for."""
        with self._lock:
            if self._large and not small_only:
                return self._large.popleft()
            return self._small.popleft() if self._small else None

    def lanes(self, limits: Limits) -> tuple[int, int, int]:
        """How many threads to begin with, how many for all files, and how many besides for small ones."""
        count = len(self._large) + len(self._small)
        main = min(max(1, limits.downloads), count)
        extra = min(_EXTRA_LANES, limits.connections - main, len(self._small), count - main)
        first = main if self._large else min(main, _FIRST_LANES)
        return first, main, max(0, extra) if limits.downloads > 1 else 0


def _is_small(want: Want) -> bool:
    return want.size is not None and want.size < SMALL


def _run(crew: Crew, jobs: Mapping[str, Want]) -> dict[str, Got | SynapseError]:
    """Work through all files with a few threads, and watch over them."""
    work = _Work(jobs)
    results: dict[str, Got | SynapseError] = {}
    crashes: list[BaseException] = []
    first, main, extra = work.lanes(crew.limits)
    # Events, not `Thread.join`: one that Ctrl-C interrupts takes the thread for ended (Python 3.11, bpo-45274).
    ends = [threading.Event() for _ in range(main + extra)]
    threads = [
        threading.Thread(
            target=_lane,
            args=(crew, work, results, crashes, number >= main, end),
            name="synapse-transfer",
            daemon=True,
        )
        for number, end in enumerate(ends)
    ]
    waiting = deque(threads[first:])
    for thread in threads[:first]:
        thread.start()
    try:
        # One lane that ended has found nothing left to begin.
        while waiting and not any(end.is_set() for end in ends[:first]):
            if _is_idle(ends[0]):
                for _ in range(min(main, len(waiting))):
                    waiting.popleft().start()
            crew.drop_slow(time.monotonic())
        for end in ends[: len(threads) - len(waiting)]:
            while not end.wait(_WATCH):
                crew.drop_slow(time.monotonic())
    except BaseException:
        crew.halt()
        deadline = time.monotonic() + _FAREWELL
        for end, thread in zip(ends, threads, strict=True):
            if thread.ident is not None:
                end.wait(max(0.0, deadline - time.monotonic()))
        raise
    if crashes:
        raise crashes[0]
    return results


def _is_idle(end: threading.Event) -> bool:
    """Whether this process mostly waits, looked at for a moment, or until `end`."""
    wall, work = time.monotonic(), time.process_time()
    end.wait(_LOOK)
    return time.process_time() - work < _BUSY * (time.monotonic() - wall)


def _lane(
    crew: Crew,
    work: _Work,
    results: dict[str, Got | SynapseError],
    crashes: list[BaseException],
    small_only: bool,
    end: threading.Event,
) -> None:
    """One thread: file after file until there is none."""
    from synapse_sync.transfer.download import Download, Stopped

    try:
        while not crew.stop.is_set() and (job := work.take(small_only=small_only)) is not None:
            key, want = job
            error: SynapseError | None = None
            try:
                with crew.busy():
                    results[key] = Download(crew, want).run()
            except SynapseError as failure:
                results[key] = error = failure.about(want.subject)
            crew.reporter.transfer_finished(want.key, error)
    except Stopped:
        pass
    except BaseException as crash:  # a mistake of ours: nobody may wait for this thread's files for ever
        crashes.append(crash)
        crew.halt()
    finally:
        end.set()

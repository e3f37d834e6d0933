"""Transfer: bring many files into the store at once, the largest first, each verified before it is published."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from synapse_sync.core.reporter import Reporter
from synapse_sync.errors import SynapseError
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.sources.base import Source
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.host_speeds import remember_speeds
from synapse_sync.store.partials import partial_key
from synapse_sync.threads import begin, no_thread
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.download import Download
from synapse_sync.transfer.opener import Stopped
from synapse_sync.transfer.want import SMALL, Clock, Got, Inspect, Limits, Nearby, Offers, Want

#: The number of threads at the start, if all files are small.
_FIRST_LANES = 2
_EXTRA_LANES = 12
#: More threads help only while this process waits for others; on a busy processor they slow each other down.
_BUSY = 0.5
_LOOK = 0.15
#: How long (seconds) an interrupt waits for the threads to save their progress.
_FAREWELL = 3.0


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
    offers: Offers = lambda want: (),
    clock: Clock | None = None,
) -> tuple[Got | SynapseError, ...]:
    """Bring files into the store; return one answer for each want, in their order. Failures are values.

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
        offers=offers,
        clock=clock or Clock(),
    )
    groups: dict[str, list[Want]] = {}
    for want in wants:
        groups.setdefault(_identity(want), []).append(want)
    jobs = _apart({identity: _merge(group) for identity, group in groups.items()})
    sizes = [want.size for want in jobs.values()]
    reporter.transfers_planned(len(sizes), sum(filter(None, sizes)) if None not in sizes else None)
    try:
        results = _run(crew, jobs)
    finally:
        if speeds := crew.health.speeds:
            remember_speeds(store.root, speeds, crew.clock.today())
    return tuple(
        replace(result, want=want)
        if isinstance(result := results[_identity(want)], Got) and result.want is not want
        else result
        for want in wants
    )


def _identity(want: Want) -> str:
    """Return the key of a want's bytes; wants with the same key are one download."""
    return partial_key(want.sha256, str(want.places[0]) if want.places else want.key)


def _merge(group: Sequence[Want]) -> Want:
    """Merge wants of the same bytes: all their locations, and the strictest rules of any of them."""
    first = group[0]
    if len(group) == 1 and len({*first.places}) == len(first.places):
        return first
    return replace(
        first,
        places=tuple(dict.fromkeys(place for want in group for place in want.places)),
        size=next((want.size for want in group if want.size is not None), None),
        blake3=next((want.blake3 for want in group if want.blake3 is not None), None),
        git_sha1=next((want.git_sha1 for want in group if want.git_sha1 is not None), None),
        text_ok=all(want.text_ok for want in group),
        allow_pickle=all(want.allow_pickle for want in group),
        allow_code=all(want.allow_code for want in group),
        source_names=tuple(dict.fromkeys(name for want in group for name in want.source_names)),
        names=tuple(dict.fromkeys(name for want in group for name in want.names)),
    )


def _apart(jobs: Mapping[str, Want]) -> dict[str, Want]:
    """Give each download a key of its own: the reporter and the crew distinguish them by it.

    Two models may name one address, of which one pins a digest and the other does not.
    """
    counts = Counter(want.key for want in jobs.values())
    return {key: want if counts[want.key] == 1 else replace(want, key=key) for key, want in jobs.items()}


class _Work:
    """The files that are not started yet: large ones, and small ones for the gaps between them."""

    def __init__(self, jobs: Mapping[str, Want]) -> None:
        order = sorted(jobs.items(), key=lambda item: -(item[1].size or 0))
        self._large = deque(job for job in order if not _is_small(job[1]))
        self._small = deque(job for job in order if _is_small(job[1]))
        self._lock = threading.Lock()

    def take(self, *, small_only: bool) -> tuple[str, Want] | None:
        """Return the next file, large before small unless `small_only`; None if there is no more."""
        with self._lock:
            if self._large and not small_only:
                return self._large.popleft()
            return self._small.popleft() if self._small else None

    def large_left(self) -> int:
        """Return the number of large files that are not started yet."""
        return len(self._large)

    def lanes(self, limits: Limits) -> tuple[int, int, int]:
        """Return the number of threads to start with, for files of any size, and in addition for small ones.

        Of those for files of any size, a file each needs a seat. The others begin files while some end.
        """
        count = len(self._large) + len(self._small)
        main = min(max(1, limits.downloads), count)
        extra = min(_EXTRA_LANES, limits.connections - main, len(self._small), count - main)
        if limits.downloads == 1:
            return main, main, 0
        beside = min(main, max(0, len(self._large) - main))
        first = main + beside if self._large else min(main, _FIRST_LANES)
        return first, main + beside, max(0, extra)


def _is_small(want: Want) -> bool:
    return want.size is not None and want.size < SMALL


class _Lanes:
    """The threads of a transfer. `lane` is the work of one: it has its number, and the event to set at its end.

    Hazard: after Ctrl-C during `Thread.join`, Python 3.11 believes that the thread has ended (bpo-45274). Events do
    not have this fault.
    """

    def __init__(self, count: int, lane: Callable[[int, threading.Event], None]) -> None:
        ends = [threading.Event() for _ in range(count)]
        self._all = [
            (threading.Thread(target=lane, args=(number, end), name="synapse-transfer", daemon=True), end)
            for number, end in enumerate(ends)
        ]
        self.waiting: deque[tuple[threading.Thread, threading.Event]] = deque(self._all)
        #: The ends of those that were begun.
        self.running: list[threading.Event] = []

    def begin(self, count: int) -> None:
        """Begin up to `count` more; where the system refuses one, those that run are all."""
        for _ in range(min(count, len(self.waiting))):
            thread, end = self.waiting.popleft()
            if not begin(thread):
                self.waiting.clear()
                return
            self.running.append(end)

    def leave(self, clock: Clock) -> None:
        """Wait for a while until they have saved their progress."""
        deadline = clock.now() + _FAREWELL
        for thread, end in self._all:
            if thread.ident is not None:  # race: an interrupt may have come before `running` knew it
                end.wait(max(0.0, deadline - clock.now()))


def _run(crew: Crew, jobs: Mapping[str, Want]) -> dict[str, Got | SynapseError]:
    """Download all files with a few threads, and watch these; return the results by key."""
    work = _Work(jobs)
    results: dict[str, Got | SynapseError] = {}
    crashes: list[BaseException] = []
    first, main, extra = work.lanes(crew.limits)
    lanes = _Lanes(
        main + extra, lambda number, end: _lane(crew, work, results, crashes, small_only=number >= main, end=end)
    )
    crew.waiting = work.large_left
    try:
        lanes.begin(first)  # hazard: an interrupt arrives here as well, while the first lanes are at work
        if jobs and not lanes.running:
            raise no_thread()
        # A lane that has ended found no file left to start.
        while lanes.waiting and not any(end.is_set() for end in lanes.running[:first]):
            if _is_idle(lanes.running[0], crew.clock):
                lanes.begin(max(main, len(lanes.running)))
            crew.drop_slow()
        for end in lanes.running:
            while not end.wait(crew.limits.watch_every):
                crew.drop_slow()
    except BaseException:
        crew.halt()
        lanes.leave(crew.clock)
        raise
    if crashes:
        raise crashes[0]
    return results


def _is_idle(end: threading.Event, clock: Clock) -> bool:
    """Return whether this process mostly waits; it is measured for a moment, or until `end`."""
    wall, work = clock.now(), clock.worked()
    end.wait(_LOOK)
    return clock.worked() - work < _BUSY * (clock.now() - wall)


def _lane(
    crew: Crew,
    work: _Work,
    results: dict[str, Got | SynapseError],
    crashes: list[BaseException],
    *,
    small_only: bool,
    end: threading.Event,
) -> None:
    """Download file after file in one thread, until none is left or everything stops."""
    try:
        while (small_only and not crew.stop.is_set()) or crew.seat():
            if (job := work.take(small_only=small_only)) is None:
                if not small_only:
                    crew.leave_seat()
                break
            key, want = job
            error: SynapseError | None = None
            try:
                with crew.busy(want.key, seated=not small_only):
                    results[key] = Download(crew, want).run()
            except SynapseError as failure:
                results[key] = error = failure.about(want.subject)
            crew.reporter.transfer_finished(want.key, error)
    except Stopped:
        pass
    except BaseException as crash:  # a bug: without this, the main thread would wait for ever
        crashes.append(crash)
        crew.halt()
    finally:
        end.set()

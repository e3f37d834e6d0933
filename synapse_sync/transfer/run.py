"""Transfer: many files into the store at once, the largest first, each verified before it is published."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from synapse_sync.core.reporter import Reporter
from synapse_sync.errors import SynapseError
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.sources.base import Source
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.host_speeds import remember_speeds
from synapse_sync.store.partials import partial_key
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.download import Download
from synapse_sync.transfer.opener import Stopped
from synapse_sync.transfer.want import Clock, Got, Inspect, Limits, Nearby, Want

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
    clock: Clock | None = None,
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
        clock=clock or Clock(),
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
            remember_speeds(store.root, speeds, crew.clock.today())
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
        source_names=tuple(dict.fromkeys(name for want in group for name in want.source_names)),
        names=tuple(dict.fromkeys(name for want in group for name in want.names)),
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
    try:
        for thread in threads[:first]:
            thread.start()  # hazard: an interrupt arrives here as well, while the first lanes are at work
        # One lane that ended has found nothing left to begin.
        while waiting and not any(end.is_set() for end in ends[:first]):
            if _is_idle(ends[0], crew.clock):
                for _ in range(min(main, len(waiting))):
                    waiting.popleft().start()
            crew.drop_slow()
        for end in ends[: len(threads) - len(waiting)]:
            while not end.wait(crew.limits.watch_every):
                crew.drop_slow()
    except BaseException:
        crew.halt()
        deadline = crew.clock.now() + _FAREWELL
        for end, thread in zip(ends, threads, strict=True):
            if thread.ident is not None:
                end.wait(max(0.0, deadline - crew.clock.now()))
        raise
    if crashes:
        raise crashes[0]
    return results


def _is_idle(end: threading.Event, clock: Clock) -> bool:
    """Whether this process mostly waits, looked at for a moment, or until `end`."""
    wall, work = clock.now(), clock.worked()
    end.wait(_LOOK)
    return clock.worked() - work < _BUSY * (clock.now() - wall)


def _lane(
    crew: Crew,
    work: _Work,
    results: dict[str, Got | SynapseError],
    crashes: list[BaseException],
    small_only: bool,
    end: threading.Event,
) -> None:
    """One thread: file after file until there is none."""
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

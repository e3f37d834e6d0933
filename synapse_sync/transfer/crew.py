"""The crew: what the downloads of one transfer share, and the limits for all of them together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from synapse_sync.core.connection_count import Ceiling, lowered
from synapse_sync.core.reporter import Reporter
from synapse_sync.net.retries import Retry
from synapse_sync.net.stream import Stream
from synapse_sync.net.wire import Wire
from synapse_sync.sources.base import Source
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.host_speeds import read_speeds
from synapse_sync.transfer.health import Health
from synapse_sync.transfer.want import Clock, Inspect, Limits, Nearby, Offers


class Bucket:
    """A rate that all threads share: a thread that received bytes sleeps until they were due."""

    def __init__(self, rate: int | None, stop: threading.Event, clock: Clock) -> None:
        self.rate = rate
        self._stop = stop
        self._clock = clock
        self._due = clock.now()
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Account for `count` bytes, and wait until they were due; return early when everything stops."""
        if self.rate is None:
            return
        with self._lock:
            now = self._clock.now()
            self._due = max(self._due, now) + count / self.rate
            wait = self._due - now
        self._stop.wait(wait)


class Crew:
    """Everything that the downloads of one transfer share."""

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
        offers: Offers,
        clock: Clock,
    ) -> None:
        self.store = store
        self.sources = sources
        self.wire = wire
        self.reporter = reporter
        self.limits = limits
        self.inspect = inspect
        self.retry = retry
        self.nearby = nearby
        self.offers = offers
        self.clock = clock
        self.stop: threading.Event = threading.Event()
        self.bucket: Bucket = Bucket(limits.limit_rate, self.stop, clock)
        self.health: Health = Health(read_speeds(store.root), today=clock.today)
        #: Returns the number of large files that are still to be begun. Race: a number that each thread writes when
        #: it begins a file could be an older one at the end, and then files would wait for ever.
        self.waiting: Callable[[], int] = lambda: 0
        #: The active files, and whether each still needs all its connections.
        self._active: dict[str, bool] = {}
        self._seats = threading.Semaphore(max(1, limits.downloads))
        #: The size of the last read from each host, in bytes.
        self.steps: dict[str, int] = {}
        self._slots = threading.Semaphore(max(1, limits.connections))
        self._by_host: dict[str, threading.Semaphore] = {}
        self._in_use: dict[str, int] = {}
        self._ceilings: dict[str, Ceiling] = {}
        self._streams: dict[Stream, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def slot(self, host: str, *, wait: bool) -> bool:
        """Take one of the connections to a host; return False if none is free, or if everything stops."""
        # Order: the host's slot before the common one. A thread that waits for a busy host would else keep a
        # connection that other hosts need.
        own = self._slots_of(host)
        if not self._acquire(own, wait=wait):
            return False
        if self._acquire(self._slots, wait=wait):
            with self._lock:
                self._in_use[host] = self._in_use.get(host, 0) + 1
            return True
        own.release()
        return False

    def give_back(self, host: str) -> None:
        """Return a connection to a host that `slot` took."""
        with self._lock:
            self._in_use[host] -= 1
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
            if slots.acquire(timeout=self.limits.watch_every):
                return True
        return False

    def share(self, host: str) -> int:
        """Return the number of connections to a host that one of the active files may use: at least one."""
        with self._lock:
            ceiling, most = self._ceilings.get(host), self.limits.per_host
            if ceiling is not None:
                most = ceiling.at(self.clock.now(), most)
            return max(1, min(self.limits.streams_per_file, most // max(1, sum(self._active.values()))))

    def refused(self, host: str, wait: float | None) -> None:
        """Note that a host refused or broke off a connection, whose slot is not returned yet.

        `wait` is the number of seconds that it asks to wait. All files use fewer connections to it for a while.
        """
        with self._lock:
            before = self._ceilings.get(host)
            self._ceilings[host] = lowered(before, self.clock.now(), self._in_use.get(host, 1), wait)

    def seat(self) -> bool:
        """Wait until one more file may be begun; return False if everything stops before."""
        return self._acquire(self._seats, wait=True)

    def leave_seat(self) -> None:
        """Return what `seat` took, if no file was begun."""
        self._seats.release()

    @contextlib.contextmanager
    def busy(self, key: str, *, seated: bool) -> Iterator[None]:
        """Count the file with this key as active. If it is `seated`, its seat is free afterwards at the latest."""
        with self._lock:
            self._active[key] = True
        try:
            yield
        finally:
            with self._lock:
                is_held = self._active.pop(key, False)
            if seated and is_held:
                self._seats.release()

    def ending(self, key: str) -> None:
        """Take note that the last bytes of a file are being received: the next file may begin beside it.

        Else no connection would be at its best while all files end, which they do together if they are alike.
        """
        with self._lock:
            if not self._active.get(key) or self.limits.downloads == 1:
                return
            self._active[key] = False
        self._seats.release()

    def watch(self, stream: Stream) -> None:
        """Watch a stream: it is aborted when it is too slow, and when everything stops."""
        with self._lock:
            self._streams[stream] = (self.clock.now(), stream.received)
        if self.stop.is_set():
            stream.abort("stopped")

    def unwatch(self, stream: Stream) -> None:
        """Stop watching a stream."""
        with self._lock:
            self._streams.pop(stream, None)

    def drop_slow(self) -> None:
        """Abort streams that hardly receive anything."""
        now = self.clock.now()
        floor = self.limits.slowest
        if self.limits.limit_rate is not None:  # the limit makes streams slow, not the host
            floor = min(floor, self.limits.limit_rate / (4 * self.limits.connections))
        with self._lock:
            for stream, (since, received) in list(self._streams.items()):
                if now - since < self.limits.patience:
                    continue
                if stream.received - received < floor * (now - since):
                    stream.abort(f"fewer than {floor:.0f} bytes a second for {self.limits.patience:.0f} s")
                self._streams[stream] = (now, stream.received)

    def halt(self) -> None:
        """Stop everything now, and wake the streams that wait for bytes."""
        self.stop.set()
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.abort("stopped")

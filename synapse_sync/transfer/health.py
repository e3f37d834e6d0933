"""Health: which hosts let us down in this run, and how fast each was, for files that have several places."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from synapse_sync.core.host_speed import TELLING, HostRating, Speed, learned, preferred

#: A host that takes longer (seconds) until it answers is called slow.
SLOW = 5.0
_FINE, _SLOW, _FAILED = range(3)


class Health:
    """What is known about hosts: their failures since the run began, their speeds from earlier runs too.

    Safe to use from threads.
    """

    def __init__(
        self,
        speeds: Mapping[str, Speed] | None = None,
        *,
        slow: float = SLOW,
        today: Callable[[], float] = time.time,
    ) -> None:
        self._today = today
        self._slow = slow
        self._marks: dict[str, int] = {}
        self._missed: set[str] = set()
        self._speeds = dict(speeds or {})
        self._measured: dict[str, Speed] = {}
        self._lock = threading.Lock()

    def answered(self, host: str, seconds: float) -> None:
        """The host has answered after this time."""
        if seconds > self._slow:
            with self._lock:
                self._marks[host] = max(_SLOW, self._marks.get(host, _FINE))

    def failed(self, host: str) -> None:
        """The host could not give a file that it should have."""
        with self._lock:
            self._marks[host] = _FAILED

    def missed(self, host: str) -> None:
        """The host does not have a file, which is no failure of it."""
        with self._lock:
            self._missed.add(host)

    def delivered(self, host: str) -> None:
        """The host gave a file: an earlier failure was none of the whole host."""
        with self._lock:
            if self._marks.get(host) == _FAILED:
                del self._marks[host]

    def measured(self, host: str, count: int, seconds: float) -> None:
        """The host gave so many bytes of one file in this time; too few of them tell nothing."""
        if count < TELLING:
            return
        with self._lock:
            speed = learned(self._speeds.get(host), count / max(seconds, 1e-3), self._today())
            self._speeds[host] = self._measured[host] = speed

    @property
    def speeds(self) -> dict[str, Speed]:
        """What was measured in this run."""
        with self._lock:
            return dict(self._measured)

    def has_failed(self, host: str) -> bool:
        """Whether the host is among those that failed last."""
        with self._lock:
            return self._marks.get(host) == _FAILED

    def first(self, hosts: Sequence[str]) -> int:
        """Which of these to ask first, by its index; an empty name is a file on this machine."""
        with self._lock:
            standings = [
                HostRating(
                    mark=self._marks.get(host, _FINE),
                    speed=self._speeds.get(host),
                    hoped=host not in self._missed,
                    local=not host,
                )
                for host in hosts
            ]
        return preferred(standings, self._today())

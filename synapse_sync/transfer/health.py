"""Health: failures and speeds of hosts, to choose between the locations of a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from synapse_sync.core.host_speed import TELLING, HostRating, Speed, learned, preferred

#: A host that needs longer (seconds) for an answer counts as slow.
SLOW = 5.0
_FINE, _SLOW, _FAILED = range(3)


class Health:
    """The failures of hosts in this run, and their speeds in this run and earlier ones.

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
        """Note that a host answered after `seconds`."""
        if seconds > self._slow:
            with self._lock:
                self._marks[host] = max(_SLOW, self._marks.get(host, _FINE))

    def failed(self, host: str) -> None:
        """Note that a host failed to serve a file that it should have."""
        with self._lock:
            self._marks[host] = _FAILED

    def missed(self, host: str) -> None:
        """Note that a host does not have a file; that is no failure."""
        with self._lock:
            self._missed.add(host)

    def delivered(self, host: str) -> None:
        """Note that a host served a file: an earlier failure did not concern the whole host."""
        with self._lock:
            if self._marks.get(host) == _FAILED:
                del self._marks[host]

    def measured(self, host: str, count: int, seconds: float) -> None:
        """Record a sample: `count` bytes of one file in `seconds`. Small samples are ignored."""
        if count < TELLING:
            return
        with self._lock:
            speed = learned(self._speeds.get(host), count / max(seconds, 1e-3), self._today())
            self._speeds[host] = self._measured[host] = speed

    @property
    def speeds(self) -> dict[str, Speed]:
        """The speeds that were measured in this run, by host."""
        with self._lock:
            return dict(self._measured)

    def has_failed(self, host: str) -> bool:
        """Return whether the last attempt at a host failed."""
        with self._lock:
            return self._marks.get(host) == _FAILED

    def first(self, hosts: Sequence[str]) -> int:
        """Return the index of the host to ask first; an empty name is a file on this machine."""
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

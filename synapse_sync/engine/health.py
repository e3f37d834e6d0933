"""Health: which hosts let us down in this run, so that files with several places are asked for elsewhere first."""

from __future__ import annotations

import threading

#: A host that takes longer (seconds) until it answers is called slow.
SLOW = 5.0
_FINE, _SLOW, _FAILED = range(3)


class Health:
    """What is known about hosts since the run began; safe to use from threads."""

    def __init__(self, slow: float = SLOW) -> None:
        self._slow = slow
        self._marks: dict[str, int] = {}
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

    def delivered(self, host: str) -> None:
        """The host gave a file: an earlier failure was none of the whole host."""
        with self._lock:
            if self._marks.get(host) == _FAILED:
                del self._marks[host]

    def has_failed(self, host: str) -> bool:
        """Whether the host is among those that failed last."""
        with self._lock:
            return self._marks.get(host) == _FAILED

    def rank(self, host: str) -> int:
        """To sort by: a host that answers at once before a slow one, and that before one that failed."""
        with self._lock:
            return self._marks.get(host, _FINE)

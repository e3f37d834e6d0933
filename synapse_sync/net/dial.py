"""Connections to hosts with several addresses, of which some may be dead."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import Thread
from typing import Any

from synapse_sync.threads import begin

#: Seconds that an address has for itself before the next one is tried beside it (RFC 8305, section 5).
HEAD_START = 0.25
_UNDER_WAY = {
    errno.EINPROGRESS,
    errno.EWOULDBLOCK,
    errno.EAGAIN,
    getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS),
}

#: The form of `socket.getaddrinfo`.
LookUp = Callable[[str, int, int, int], Sequence[tuple[int, int, int, str, Any]]]


class Dialer:
    """Opens TCP connections; for each host it remembers which address answered. Safe to use from threads.

    `head_start` (seconds) is how long an address has for itself before the next one is tried beside it.
    """

    def __init__(self, head_start: float = HEAD_START, look_up: LookUp | None = None) -> None:
        self._head_start = head_start
        self._look_up = look_up
        self._answered: dict[tuple[str, int], Any] = {}
        self._round_trips: dict[tuple[str, int], float] = {}

    def round_trip(self, host: str, port: int) -> float | None:
        """The shortest time that a connection to a host took to be made, in seconds: about one round trip.

        None before the first connection. It says how far the host is, however long it works on its answers.
        """
        return self._round_trips.get((host.strip("[]"), port))

    def connect(
        self,
        host: str,
        port: int,
        *,
        timeout: float | None,
        source: tuple[str, int] | None = None,
        options: Iterable[Sequence[Any]] | None = None,
    ) -> socket.socket:
        """Return a connection to the first address that answers; `timeout` (seconds) is for all addresses together.

        `source` is the local address to use, `options` are those of `socket.setsockopt`. Raises `socket.gaierror`
        for an unknown host, `TimeoutError`, or the `OSError` of the last address.
        """
        host = host.strip("[]")
        began = time.monotonic()
        found = self._addresses(host, port, timeout)
        left = None if timeout is None else max(0.1, timeout - (time.monotonic() - began))
        addresses = _alternating([(family, address) for family, _, _, _, address in found])
        known = self._answered.get((host, port))
        # The sort keeps the order otherwise: the address that answered before comes first.
        addresses.sort(key=lambda one: one[1] != known)
        race = _Race(addresses, self._head_start, source, tuple(options or ()))
        sock = race.run(left)
        self._round_trips[host, port] = min(race.took, self._round_trips.get((host, port), race.took))
        if len(addresses) > 1:
            self._answered[host, port] = sock.getpeername()
        sock.settimeout(timeout)
        return sock

    def _addresses(self, host: str, port: int, timeout: float | None) -> Sequence[tuple[int, int, int, str, Any]]:
        """The addresses of a host; raises `TimeoutError` if they cannot be had in time.

        The system's look-up has limits of its own, of up to half a minute. It cannot be stopped, so it is left
        behind in a thread, which does not hold up the end of the process.
        """
        look_up = self._look_up or socket.getaddrinfo
        wanted = (host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
        if timeout is None or host.replace(".", "").isdigit() or ":" in host:
            return look_up(*wanted)
        found: list[Sequence[tuple[int, int, int, str, Any]]] = []
        failed: list[BaseException] = []

        def ask() -> None:
            try:
                found.append(look_up(*wanted))
            except BaseException as error:
                failed.append(error)

        asking = Thread(target=ask, name=f"look up {host}", daemon=True)
        if not begin(asking):  # no more threads: the look-up keeps the system's own limits
            return look_up(*wanted)
        asking.join(timeout)
        if failed:
            raise failed[0]
        if not found:
            raise TimeoutError("timed out")
        return found[0]


def _alternating(addresses: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """The addresses, each once, their families by turns: two dead ones of one family do not hold up the other."""
    queues: dict[int, deque[tuple[int, Any]]] = {}
    for family, address in dict.fromkeys(addresses):
        queues.setdefault(family, deque()).append((family, address))
    order: list[tuple[int, Any]] = []
    while any(queues.values()):
        order += [queue.popleft() for queue in queues.values() if queue]
    return order


class _Race:
    """Attempts to connect to several addresses, each begun a little after the one before."""

    def __init__(
        self,
        addresses: Sequence[tuple[int, Any]],
        head_start: float,
        source: tuple[str, int] | None,
        options: tuple[Sequence[Any], ...],
    ) -> None:
        self._waiting = deque(addresses)
        self._head_start = head_start
        self._source = source
        self._options = options
        self._error: OSError | None = None
        #: The connections under way, and when each was begun.
        self._running: dict[socket.socket, float] = {}
        #: The seconds that the first one took.
        self.took: float = 0.0

    def run(self, timeout: float | None) -> socket.socket:
        """The first connection that is made; all others are closed."""
        until = None if timeout is None else time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            try:
                return self._run(selector, until)
            finally:
                for loser in self._running:
                    loser.close()

    def _run(self, selector: selectors.BaseSelector, until: float | None) -> socket.socket:
        due = time.monotonic()
        while self._waiting or self._running:
            now = time.monotonic()
            if until is not None and now >= until:
                raise TimeoutError("timed out")
            if self._waiting and (now >= due or not self._running):
                sock = self._begin(*self._waiting.popleft())
                if sock is not None:
                    selector.register(sock, selectors.EVENT_WRITE)
                    due = now + self._head_start
                continue
            moments = [moment for moment in (until, due if self._waiting else None) if moment is not None]
            for key, _ in selector.select(max(0.0, min(moments) - now) if moments else None):
                done: Any = key.fileobj
                selector.unregister(done)
                began = self._running.pop(done)
                if (failed := done.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) == 0:
                    winner: socket.socket = done
                    self.took = time.monotonic() - began
                    return winner
                done.close()
                self._error = OSError(failed, os.strerror(failed))
                due = now  # the next address need not wait any longer
        raise self._error or OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    def _begin(self, family: int, address: Any) -> socket.socket | None:
        """Begin to connect to one address; None if that fails at once, as without any route to it."""
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            for option in self._options:
                sock.setsockopt(*option)
            if self._source is not None:
                sock.bind(self._source)
            sock.setblocking(False)
            began = time.monotonic()
            failed = sock.connect_ex(address)
            if failed not in _UNDER_WAY and failed != 0:
                raise OSError(failed, os.strerror(failed))
        except OSError as error:
            self._error = error
            if sock is not None:
                sock.close()
            return None
        self._running[sock] = began
        return sock

"""Answers that have to come in time as a whole, not only byte by byte as a socket's own limit sees it."""

from __future__ import annotations

import http.client
import io
import time
from typing import Any

from synapse_sync.net.bounds import Bounds


class _Watched(io.RawIOBase):
    """A socket's bytes, up to a moment that may be set; after that it is a time-out."""

    def __init__(self, sock: Any, until: float) -> None:
        self.until: float | None = until
        self._socket = sock
        #: Keeps the socket open, whoever else lets go of it.
        self._held: io.RawIOBase = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Straight from the socket: an encrypted one gives 16 KiB at a time, so that each layer is felt.
        if self.until is None:
            return int(self._socket.recv_into(buffer))
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        usual = self._socket.gettimeout()
        if usual is not None and usual <= left:  # the socket sees to it by itself
            return int(self._socket.recv_into(buffer))
        self._socket.settimeout(left)
        try:
            return int(self._socket.recv_into(buffer))
        finally:
            self._socket.settimeout(usual)

    def close(self) -> None:
        self._held.close()
        super().close()


class _Entry:
    """What an answer takes for a socket, to make its file of."""

    def __init__(self, sock: Any, until: float) -> None:
        self._socket = sock
        self._until = until
        self.raw: _Watched | None = None

    def makefile(self, mode: str) -> io.BufferedReader:
        """The same as a socket's own, but watched."""
        self.raw = _Watched(self._socket, self._until)
        return io.BufferedReader(self.raw)


class TimedResponse(http.client.HTTPResponse):
    """An answer whose headers have to come in time."""

    #: Seconds from the request to the end of the headers.
    longest_head = Bounds().head

    def __init__(self, sock: Any, *arguments: Any, **more: Any) -> None:
        entry = _Entry(sock, time.monotonic() + self.longest_head)
        super().__init__(entry, *arguments, **more)  # type: ignore[arg-type]
        self._watched = entry.raw

    def begin(self) -> None:
        """Read the status and the headers."""
        super().begin()
        self.within(None)

    def within(self, seconds: float | None) -> None:
        """From now on bytes have to come within this time; None leaves it to the limit of each single one."""
        if self._watched is not None:
            self._watched.until = None if seconds is None else time.monotonic() + seconds

"""Answers of servers as http.client reads them: the head in time and within bounds, interim answers skipped."""

from __future__ import annotations

import http.client
import io
import time
from typing import Any

from synapse_sync.net.bounds import Bounds

#: http.client refuses a head of more than 100 lines, and any line of more than 64 KiB.
_MOST_LINES, _LONGEST_LINE = 90, 65_536
#: Bytes of a head, interim answers included, and the number of those.
_LONGEST_HEAD, _MOST_INTERIM = 1 << 20, 20
#: The headers that matter for a download. Only these are kept of a head that is too long for http.client.
_KEPT = frozenset(
    b"accept-ranges connection content-disposition content-encoding content-length content-range content-type date "
    b"etag last-modified location proxy-authenticate retry-after set-cookie transfer-encoding www-authenticate "
    b"x-error-code x-error-message x-ratelimit-remaining x-ratelimit-reset".split()
)


class HeadTooLong(http.client.HTTPException):
    """An answer whose headers are too long; the text of this exception says in which way."""


class _Watched(io.RawIOBase):
    """The bytes of a socket, up to a moment that may be set; after it, reading raises `TimeoutError`."""

    def __init__(self, sock: Any, until: float) -> None:
        self.until: float | None = until
        self._socket = sock
        #: Keeps the socket open after urllib3 closed its own object for it.
        self._held: io.RawIOBase = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Straight from the socket: an encrypted one returns 16 KiB at a time, so each further layer costs.
        if self.until is None:
            return int(self._socket.recv_into(buffer))
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        usual = self._socket.gettimeout()
        if usual is not None and usual <= left:  # the socket's own limit is the stricter one
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
    """The part of a socket that http.client needs for an answer: `makefile`."""

    def __init__(self, sock: Any, until: float) -> None:
        self._socket = sock
        self._until = until
        self.raw: _Watched | None = None

    def makefile(self, mode: str) -> io.BufferedReader:
        """A file like that of the socket, but watched."""
        self.raw = _Watched(self._socket, self._until)
        return io.BufferedReader(self.raw)


class TimedResponse(http.client.HTTPResponse):
    """An answer whose head has to arrive in time, and may be longer than http.client accepts.

    `begin` raises `HeadTooLong`, or what http.client raises.
    """

    #: Seconds from the request to the end of the headers.
    longest_head: float = Bounds().head

    def __init__(self, sock: Any, *arguments: Any, **more: Any) -> None:
        entry = _Entry(sock, time.monotonic() + self.longest_head)
        super().__init__(entry, *arguments, **more)  # type: ignore[arg-type]
        self._watched = entry.raw

    def begin(self) -> None:
        """Read the status and the headers."""
        body = self.fp
        # http.client reads the head from here, and whatever follows from the socket.
        self.fp = io.BufferedReader(io.BytesIO(_read_head(body)))
        try:
            super().begin()
        finally:
            self.fp = body
        self.within(None)

    def within(self, seconds: float | None) -> None:
        """From now on, bytes have to arrive within this time; None leaves it to the limit of each single one."""
        if self._watched is not None:
            self._watched.until = None if seconds is None else time.monotonic() + seconds


def _read_head(source: Any) -> bytes:
    """The status line and the headers of the final answer, as much of them as http.client accepts.

    Interim answers (100, 102, 103 …) are skipped: they are allowed before any other (RFC 9110, section 15.2), and
    http.client knows only 100.
    """
    left = _LONGEST_HEAD
    for _ in range(_MOST_INTERIM + 1):
        status, headers, left = _read_lines(source, left)
        if not status.startswith(b"HTTP/"):
            return status  # no answer, or no HTTP: http.client has the right error for either
        if not (status[8:10] == b" 1" and status[9:12] != b"101"):
            return b"".join([status, *_shortened(headers), b"\r\n"])
    raise HeadTooLong(f"more than {_MOST_INTERIM} interim answers")


def _read_lines(source: Any, left: int) -> tuple[bytes, list[bytes], int]:
    """A status line, the header lines up to the empty one, and how many bytes of head are still allowed."""
    lines: list[bytes] = []
    while True:
        line: bytes = source.readline(left + 1)
        left -= len(line)
        if left < 0:
            raise HeadTooLong(f"headers of more than {_LONGEST_HEAD >> 10} KiB")
        if not line and lines:
            # An answer that breaks off in its head must not count as one without a length.
            raise http.client.IncompleteRead(b"".join(lines))
        if not line or line in (b"\r\n", b"\n") or not (lines or line.startswith(b"HTTP/")):
            return (lines[0] if lines else line), lines[1:], left
        if line[:1] in b" \t" and len(lines) > 1:  # goes on with the header before (RFC 9112, section 5.2)
            lines[-1] = lines[-1].rstrip(b"\r\n") + b" " + line.lstrip(b" \t")
        else:
            lines.append(line)


def _shortened(headers: list[bytes]) -> list[bytes]:
    """The header lines if http.client accepts them, else those that matter; raises `HeadTooLong`."""
    if len(headers) <= _MOST_LINES and all(len(line) <= _LONGEST_LINE for line in headers):
        return headers
    kept = [line for line in headers if _name(line) in _KEPT]
    if len(kept) > _MOST_LINES:
        kept = [line for line in kept if _name(line) != b"set-cookie"]
    if len(kept) > _MOST_LINES:
        raise HeadTooLong("the same headers again and again")
    if (long := next((line for line in kept if len(line) > _LONGEST_LINE), None)) is not None:
        raise HeadTooLong(f"a `{_name(long).decode('ascii')}` header of more than {_LONGEST_LINE >> 10} KiB")
    return kept


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].strip().lower()

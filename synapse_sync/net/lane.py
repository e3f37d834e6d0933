"""The lane: answers that are as plain as most are, over connections that are kept, with few calls of the system.

Whatever is unusual about an answer leaves the lane: its connection and the bytes that were read go to http.client
and urllib3. So does a request for a URL that they would write in another way, and one through a proxy.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import re
import select
import socket
import ssl
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from synapse_sync.blocks import new_block
from synapse_sync.net.at_once import Coming
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.dial import Dialer
from synapse_sync.net.head import LONGEST, Head, Headers, UnusualHead, read_head
from synapse_sync.net.ports import PORTS
from synapse_sync.net.way import Way

#: The size of one read of encrypted bytes: a call of the system for a dozen records, not for each.
_CIPHER = 256 << 10
#: A connection that fills large buffers is woken for this many bytes, not for each packet, which saves much of the
#: work on a long line. OpenSSL may hold one record already (RFC 8446, section 5.2), which is not waited for.
_NAP, _RECORD = 64 << 10, 20 << 10
_END = b"\r\n\r\n"
T = TypeVar("T")
_UNSENDABLE = re.compile(r"[\r\n\0]")
_buffers: deque[memoryview] = deque(maxlen=8)


class ConnectTimeout(TimeoutError):
    """No connection in time."""


class LeftLane(Exception):
    """An answer that has to be read in the thorough way, from `connection`, which returns its bytes once more."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection


class Connection:
    """One plain connection. `sock` has a time limit for each wait; also what http.client needs of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        #: Bytes that were read and not returned yet.
        self.ahead: memoryview = memoryview(b"")
        self._least = 1
        if sys.platform != "win32":  # where `select` fails from descriptor 1024 on
            self._watch = select.poll()
            self._watch.register(sock, select.POLLIN)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def receive(self, buffer: memoryview) -> int:
        """Wait for bytes and return how many came; 0 at the end."""
        return self.sock.recv_into(buffer)

    def fill(self, buffer: memoryview) -> int:
        """Fill the buffer; return the number of bytes, which is smaller only at the end."""
        at, end = 0, len(buffer)
        try:
            while at < end:
                self._nap(end, end - at)
                if not (count := self.sock.recv_into(buffer[at:])):
                    break
                at += count
        finally:
            self._wake_for(1)
        return at

    def _nap(self, whole: int, sure: int) -> None:
        """Wait for several packets at once, if the server will send at least `sure` bytes to fill `whole`."""
        # Hazard: fewer bytes than that would never wake this thread. Small buffers are those of slow connections.
        self._wake_for(max(1, min(_NAP, sure)) if whole >= 2 * _NAP else 1)

    def _wake_for(self, count: int) -> None:
        """Let waits end only when that many bytes have arrived, or at the end of the connection; on Linux alone."""
        if count != self._least and sys.platform == "linux":
            self._least = count
            with contextlib.suppress(OSError):  # another thread may have closed it
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def is_quiet(self) -> bool:
        """Whether the other side neither closed the connection nor sent bytes that nobody asked for."""
        if sys.platform == "win32":
            return not select.select([self.sock], [], [], 0)[0]
        else:
            return not self._watch.poll(0)

    def close(self) -> None:
        """Close it; harmless when it is closed."""
        self.sock.close()

    # -- what http.client needs of a socket --------------------------------------------------------------

    def recv_into(self, buffer: memoryview) -> int:
        """The bytes that were read ahead, then those that come."""
        if self.ahead:
            count = min(len(buffer), len(self.ahead))
            memoryview(buffer)[:count] = self.ahead[:count]
            self.ahead = self.ahead[count:]
            return count
        return self.receive(memoryview(buffer))

    def gettimeout(self) -> float | None:
        """The limit of each wait, in seconds."""
        return self.sock.gettimeout()

    def settimeout(self, seconds: float | None) -> None:
        """Set the limit of each wait."""
        self.sock.settimeout(seconds)

    def makefile(self, mode: str, buffering: int) -> Connection:
        """Itself: closing the file closes the connection, which is used for nothing else then."""
        return self


class SecureConnection(Connection):
    """One encrypted connection; `context` has the certificates, `host` is checked against the server's.

    OpenSSL reads from memory here. From a socket it reads each record with two calls of the system or three.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(sock)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._more()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # says to the server why
                raise
            else:
                break
        self._flush()

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def receive(self, buffer: memoryview) -> int:
        while True:
            try:
                return self._tls.read(len(buffer), buffer)  # type: ignore[return-value]  # with a buffer: a number
            except ssl.SSLWantReadError:
                self._more()
            except ssl.SSLEOFError:  # without a farewell; whether bytes are missing is known from the length
                return 0

    def fill(self, buffer: memoryview) -> int:
        at, end = 0, len(buffer)
        read, arrived, decrypted = self._tls.read, self._in, self._tls.pending
        try:
            while at < end:
                if not arrived.pending and not decrypted():
                    self._nap(end, end - at - _RECORD)
                    self._more()  # without this look, OpenSSL would raise an exception first
                try:
                    count: Any = read(end - at, buffer[at:])
                except ssl.SSLWantReadError:
                    self._nap(end, end - at - arrived.pending - _RECORD)
                    self._more()
                    continue
                if not count:
                    break
                at += count
        except ssl.SSLEOFError:
            pass
        finally:
            self._wake_for(1)
        return at

    def is_quiet(self) -> bool:
        return not self._in.pending and not self._tls.pending() and super().is_quiet()

    def _more(self) -> int:
        """Wait for encrypted bytes; returns 0 at the end."""
        if self._out.pending:
            self._flush()  # OpenSSL answers to new keys by itself
        try:
            buffer = _buffers.pop()
        except IndexError:  # race: another connection may have taken the last one a moment ago, so it is not asked
            buffer = new_block(_CIPHER)
        try:
            count = self.sock.recv_into(buffer)
            if count:
                self._in.write(buffer[:count])
            else:
                self._in.write_eof()
            return count
        finally:
            _buffers.append(buffer)

    def _flush(self) -> None:
        if data := self._out.read():
            self.sock.sendall(data)


class LaneAnswer:
    """An answer in the lane, in the form of urllib3's: `read` and `readinto` return its body and nothing beyond."""

    def __init__(self, head: Head, connection: Connection, keep: Callable[[Connection], None]) -> None:
        self.status: int = head.status
        self.headers: Headers = head.headers
        self._left = head.length
        self._connection: Connection | None = connection
        self._keep = keep if head.kept else None
        self._socket = connection.sock

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the body reaches; fewer bytes only at its end or that of the connection."""
        connection = self._connection
        if connection is None:
            raise ValueError("the answer is closed")
        buffer = buffer[: self._left]
        at = 0
        if connection.ahead:
            at = connection.recv_into(buffer)
        if at < len(buffer):
            at += connection.fill(buffer[at:])
        self._left -= at
        return at

    def read(self, count: int, decode_content: bool = False) -> bytes:
        """Return up to `count` bytes of the body."""
        buffer = bytearray(min(count, self._left))
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    @property
    def is_read(self) -> bool:
        """Whether the whole body was read."""
        return self._left == 0

    def release_conn(self) -> None:
        """Leave the connection to the next request if the body was read to its end, else close it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # Hazard: bytes after the body would pass for the next answer.
        if self._keep is not None and not self._left and not connection.ahead:
            self._keep(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the connection; harmless after `release_conn`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def shutdown(self) -> None:
        """Wake a thread that reads; may be called from any thread."""
        if self._connection is not None:
            self._socket.shutdown(socket.SHUT_RDWR)


class Lane:
    """The connections of one client; safe to use from threads.

    `connections` are kept open for each host at most. `tls` returns the certificates when they are needed.
    """

    def __init__(
        self, *, connections: int, bounds: Bounds, tls: Callable[[], ssl.SSLContext], dialer: Dialer
    ) -> None:
        self._connections = connections
        self._bounds = bounds
        self._tls = tls
        self._dialer = dialer
        self._idle: dict[tuple[str, str, int], deque[Connection]] = {}
        self._coming: dict[tuple[str, str, int], deque[Coming[Connection]]] = {}
        weakref.finalize(self, _close_all, self._idle)

    def expect(self, way: Way, count: int) -> None:
        """Begin to open connections, so that `count` are free for the requests that follow soon.

        A request uses one of them even before it is open. Its errors are raised there.
        """
        key = (way.scheme, way.host, way.port or PORTS[way.scheme])
        coming = self._coming.setdefault(key, deque())
        for _ in range(count - len(self._idle.get(key, ())) - len(coming)):
            coming.append(Coming(functools.partial(self._connect, *key), name="synapse-connect"))

    def get(self, way: Way, headers: Mapping[str, str]) -> LaneAnswer:
        """Request what is there, and return the answer once its head has arrived.

        Raises `LeftLane` for an unusual answer, `OSError`, `http.client.HTTPException`, or `ValueError` for a
        header that cannot be sent.
        """
        lines = [f"GET {way.target} HTTP/1.1", f"Host: {way.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if any(map(_UNSENDABLE.search, lines)):
            raise ValueError("a line break in a header")
        request = ("\r\n".join(lines) + _END.decode()).encode("latin-1")
        key = (way.scheme, way.host, way.port or PORTS[way.scheme])
        idle = self._idle.setdefault(key, deque())
        # Hazard: a new connection may hold bytes already, the tickets of TLS 1.3 (RFC 8446, section 4.6.1).
        while (connection := _quiet(idle) or self._come(key)) is not None:
            try:
                return self._answer(connection, request, idle)
            except (ConnectionError, http.client.RemoteDisconnected):
                continue  # race: the server closed it a moment ago, and has not seen this request
        return self._answer(self._connect(*key), request, idle)

    def close(self) -> None:
        """Close the idle connections; a later request opens new ones."""
        _close_all(self._idle)
        for coming in list(self._coming.values()):
            while (one := _pop(coming)) is not None:
                one.abandon(lambda connection: connection.close())

    def _come(self, key: tuple[str, str, int]) -> Connection | None:
        """The next connection that is being opened ahead; None if there is none. Raises what opening it raised."""
        one = _pop(self._coming.get(key, deque()))
        return None if one is None else one.wait()

    def _connect(self, scheme: str, host: str, port: int) -> Connection:
        bounds = self._bounds
        context = self._tls() if scheme == "https" else None  # first: unusable certificates need no connection
        try:
            options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
            sock = self._dialer.connect(host, port, timeout=bounds.connect, options=options)
        except TimeoutError as error:
            raise ConnectTimeout from error
        try:
            connection = Connection(sock) if context is None else SecureConnection(sock, context, host.strip("[]"))
            sock.settimeout(bounds.read)
        except BaseException:
            sock.close()
            raise
        return connection

    def _answer(self, connection: Connection, request: bytes, idle: deque[Connection]) -> LaneAnswer:
        try:
            connection.send(request)
            head = self._head(connection)
        except (UnusualHead, LeftLane):
            raise LeftLane(connection) from None
        except BaseException:
            connection.close()
            raise

        def keep(connection: Connection) -> None:
            if len(idle) < self._connections:
                idle.append(connection)
            else:
                connection.close()

        return LaneAnswer(head, connection, keep)

    def _head(self, connection: Connection) -> Head:
        """The head of the next answer. Raises `UnusualHead`, with what was read in `connection.ahead`."""
        until = time.monotonic() + self._bounds.head
        data = bytearray(LONGEST)  # what follows the head in the same read is the beginning of the body
        buffer = memoryview(data)
        filled = connection.receive(buffer)
        if not filled:
            raise http.client.RemoteDisconnected("closed without an answer")
        while True:
            connection.ahead = buffer[:filled]
            end = data.find(_END, 0, filled)
            if end >= 0:
                head = read_head(bytes(data[: end + len(_END)]))
                connection.ahead = buffer[end + len(_END) : filled]
                return head
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(min(left, self._bounds.read))
            count = connection.receive(buffer[filled:]) if filled < LONGEST else 0
            connection.settimeout(self._bounds.read)
            if not count:  # too long to be read here, or broken off
                raise UnusualHead("its length")
            filled += count


def _close_all(connections: Mapping[tuple[str, str, int], deque[Connection]]) -> None:
    for idle in list(connections.values()):
        while (connection := _pop(idle)) is not None:
            connection.close()


def _quiet(idle: deque[Connection]) -> Connection | None:
    """The next idle connection that can be used; others are closed."""
    while (connection := _pop(idle)) is not None:
        if connection.is_quiet():
            return connection
        connection.close()
    return None


def _pop(idle: deque[T]) -> T | None:
    try:
        return idle.pop()
    except IndexError:
        return None

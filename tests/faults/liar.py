"""A server on a raw socket, honest by default, that answers single requests with whatever bytes a case wants."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


@dataclass(frozen=True)
class Asked:
    """One request; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class File:
    """What an honest answer is made of."""

    content: bytes
    etag: str | None = '"one"'
    headers: dict[str, str] = field(default_factory=dict)


class Talk:
    """One request, and the connection on which to answer it."""

    def __init__(self, liar: Liar, connection: socket.socket, asked: Asked) -> None:
        self.asked = asked
        self._liar = liar
        self._connection = connection

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._connection.sendall(data)

    def head(self, status: int, **headers: object) -> None:
        """Send a status line and headers; `_` in a name stands for `-`. We hang up afterwards, and say so."""
        headers = {"Connection": "close", **headers}
        lines = [f"HTTP/1.1 {status} So It Is", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    def wait(self, seconds: float) -> bool:
        """Be silent; True if the server was closed meanwhile."""
        return self._liar.closing.wait(seconds)

    def reset(self) -> None:
        """Tear the connection down with a reset."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def part(self) -> tuple[int, int | None]:
        """The range that was asked for: start, and end (exclusive) or None; (0, None) is the whole."""
        match = _RANGE.match(self.asked.headers.get("range", ""))
        return (0, None) if match is None else (int(match[1]), int(match[2]) + 1 if match[2] else None)

    def serve(self, file: File, *, ranges: bool = True, limit: int | None = None) -> None:
        """The honest answer with this file; it breaks off after `limit` bytes of the body."""
        start, end = self.part() if ranges else (0, None)
        if self.asked.headers.get("if-range", file.etag) != file.etag:
            start, end = 0, None
        total = len(file.content)
        named: dict[str, object] = {"Content-Type": "application/octet-stream", **file.headers}
        named |= {"Accept-Ranges": "bytes"} if ranges else {}
        named |= {"ETag": file.etag} if file.etag is not None else {}
        if (start, end) == (0, None):
            body, status = file.content, 200
        elif start >= total:
            self.head(416, **named, Content_Range=f"bytes */{total}", Content_Length=0)
            return
        else:
            body, status = file.content[start : total if end is None else end], 206
            named["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{total}"
        self.head(status, **named, Content_Length=len(body))
        self.send(body if limit is None else body[:limit])


#: What to do with one request; bytes are sent as they are. The connection is closed afterwards.
Lie = Callable[[Talk], object] | bytes


class Liar:
    """A server of files with a list of lies for some paths; a context manager that leaves no socket behind."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, File] = {}
        self.asked: list[Asked] = []
        self.tls = tls
        self.port = 0
        self.closing = threading.Event()
        self._door = self._bound()
        self.port = self._door.getsockname()[1]
        self._lies: dict[str, deque[Lie]] = {}
        self._always: dict[str, Lie] = {}
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.start()

    @property
    def url(self) -> str:
        """The origin, without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; after `stop` at the same port as before."""
        self.closing.clear()
        self._door.listen(64)
        self._main = threading.Thread(target=self._accept, args=(self._door,), name="liar", daemon=True)
        self._main.start()

    def stop(self) -> None:
        """Hang up on everybody, and refuse connections; the port stays ours, or another process may get it."""
        if self.closing.is_set():
            return
        self.closing.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()  # wakes `accept`
        self._main.join()
        self._door.close()
        self._door = self._bound()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def __enter__(self) -> Liar:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._door.close()

    def _bound(self) -> socket.socket:
        """A socket at our port (0: any free one) that does not listen yet."""
        door = socket.socket()
        if os.name != "nt":  # else connections that have ended would forbid it for a minute
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", self.port))
        return door

    # -- what a case says --------------------------------------------------------------------------

    def offer(self, path: str, content: bytes, *, etag: str | None = '"one"', **headers: str) -> str:
        """Have a file from now on, and say its URL; `_` in a header's name stands for `-`."""
        self.files[path] = File(content, etag, headers)
        return self.url + path

    def lie(self, path: str, *lies: Lie) -> None:
        """Answer the next requests for this path with these lies, one each; then honestly again."""
        with self._lock:
            self._lies.setdefault(path, deque()).extend(lies)

    def always(self, path: str, lie: Lie) -> None:
        """Answer every request for this path with this lie."""
        self._always[path] = lie

    def repent(self) -> None:
        """Be there, and tell the truth from now on."""
        if self.closing.is_set():
            self.start()
        with self._lock:
            self._lies.clear()
        self._always.clear()

    def count(self, path: str | None = None) -> int:
        """How many requests there were, for one path or for all."""
        return sum(path in (None, asked.path) for asked in self.asked)

    # -- connections -------------------------------------------------------------------------------

    def _accept(self, door: socket.socket) -> None:
        while True:
            connection, _ = door.accept()
            if self.closing.is_set():
                connection.close()
                return
            with self._lock:
                self._open.add(connection)
            thread = threading.Thread(target=self._talk, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        raw = connection
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            data = b""
            while b"\r\n\r\n" not in data:
                if not (got := connection.recv(65536)):
                    return
                data += got
            self._answer(connection, _parse(data))
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(2.0)
            while connection.recv(65536):  # a close with unread bytes would be a reset
                pass
        except OSError:
            pass  # the client hung up, or a lie closed the connection: that is what the cases are about
        finally:
            with self._lock:
                self._open.discard(raw)
            connection.close()

    def _answer(self, connection: socket.socket, asked: Asked) -> None:
        path = asked.path.partition("?")[0]
        with self._lock:
            self.asked.append(asked)
            lies = self._lies.get(path)
            lie = self._always.get(path) or (lies.popleft() if lies else None)
        talk = Talk(self, connection, asked)
        if isinstance(lie, bytes):
            talk.send(lie)
        elif lie is not None:
            lie(talk)
        elif path in self.files:
            talk.serve(self.files[path])
        else:
            talk.head(404, Content_Length=0, Connection="close")


def _parse(data: bytes) -> Asked:
    first, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Asked(method, path, headers)

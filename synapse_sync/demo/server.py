"""The hub's HTTP server: keep-alive, faults, and a close that leaves no socket behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from synapse_sync.demo.exchange import Fault, Faults, Origin, Reply, Request, Seen, html_reply

CHUNK = 256 * 1024


#: Seconds in which a reader must have seen the end of its connection; POSIX wakes it for certain.
_WAKING = 1.0 if os.name == "nt" else None


class Listener(HTTPServer):
    """A port of 127.0.0.1 that stops at once, and leaves neither a thread nor a socket behind.

    `serve_forever` of the standard library notices a stop only at its next poll; this one is woken by a stop.
    """

    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], name: str = "listener") -> None:
        """Bind a free port; `handler` talks to each connection, `name` is the name of the accepting thread."""
        super().__init__(("127.0.0.1", 0), handler)
        self.closing: threading.Event = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[Any, threading.Thread] = {}
        self._name = name
        self._alone: Together | None = None

    @property
    def url(self) -> str:
        """The origin, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def server_bind(self) -> None:
        """Bind without the reverse look-up of this machine's name, which can take seconds."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._alone = Together((self,), self._name)
        self._alone.start()

    def stop(self) -> None:
        """Stop answering, and wait until every connection is closed."""
        if self._alone is not None:
            self._alone.stop()
        self._alone = None

    def accept(self) -> None:
        """Accept the connection that is waiting; one that was given up meanwhile is left out."""
        with contextlib.suppress(OSError):
            connection, address = self.get_request()
            connection.setblocking(True)  # on some systems it is as its listener
            self.process_request(connection, address)

    def hang_up(self) -> None:
        """End every connection and close the port, once nobody accepts for it any more."""
        with self._lock:
            running = dict(self._open)
        for connection in running:
            with contextlib.suppress(OSError):  # the other side, or the thread itself, may have closed it already
                connection.shutdown(socket.SHUT_RDWR)
        for connection, thread in running.items():
            thread.join(_WAKING)
            if thread.is_alive():  # Windows need not wake a reader so; without its socket it ends
                with contextlib.suppress(OSError):
                    socket.close(connection.detach())
                thread.join()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Talk to each connection in a thread of its own."""
        thread = threading.Thread(target=self._converse, args=(request, client_address), daemon=True)
        with self._lock:
            # Race: a thread that left the list by itself would be at its end while `hang_up` is over.
            self._open = {one: talk for one, talk in self._open.items() if talk.is_alive()}
            self._open[request] = thread
        thread.start()

    def _converse(self, request: Any, client_address: Any) -> None:
        try:
            with contextlib.suppress(OSError):  # clients hang up, as some tests do on purpose
                self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)


class Together:
    """Listeners for which one thread, called `name`, accepts, and which stop together.

    A thread for each port took most of the time in which a hub starts and stops.
    """

    def __init__(self, listeners: Sequence[Listener], name: str) -> None:
        self._listeners = listeners
        self._name = name
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to answer at every port."""
        self._ends = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, args=(self._ends[1],), name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, and wait until every connection is closed."""
        for listener in self._listeners:
            listener.closing.set()
        if self._ends is not None and self._thread is not None:
            self._ends[0].close()
            self._thread.join()
            self._ends[1].close()
        for listener in self._listeners:
            listener.hang_up()

    def _accept(self, woken: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            for listener in self._listeners:
                # A connection can be given up between select and accept, which must not wait for the next one then.
                listener.socket.setblocking(False)
                selector.register(listener, selectors.EVENT_READ, listener.accept)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    key.data()


class Door(Listener):
    """One origin of the hub: a port, and the site that answers there."""

    def __init__(
        self, origin: Origin, answer: Callable[[Request], Reply], faults: Faults, saw: Callable[[Seen], None]
    ) -> None:
        super().__init__(Conversation, f"hub-{origin}")
        self.origin: Origin = origin
        self.answer = answer
        self.faults = faults
        self.saw = saw
        self.crashes: list[str] = []


class Conversation(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "hub"
    sys_version = ""
    disable_nagle_algorithm = True
    server: Door

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the hub keeps its own log."""

    def do_GET(self) -> None:
        """Answer any method; the sites themselves look at it."""
        request = self._read()
        fault = self.server.faults.take(request) or Fault()
        if fault.delay and self.server.closing.wait(fault.delay):
            self.close_connection = True
            return
        if fault.drop:
            self._saw(request, 0)
            self.close_connection = True
            return
        self._send(request, self._reply(request, fault), fault)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def _read(self) -> Request:
        path, _, query = self.path.partition("?")
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0") or "0"))
        return Request(
            method=self.command,
            raw_path=path,
            query=query,
            headers=headers,
            body=body,
            origin=self.server.origin,
        )

    def _saw(self, request: Request, status: int) -> None:
        seen = Seen(request.method, request.path, request.query, request.headers, request.origin, status)
        self.server.saw(seen)

    def _reply(self, request: Request, fault: Fault) -> Reply:
        if fault.html:
            return html_reply(fault.status or 200)
        if fault.status is not None:
            body = b'{"error":"a fault that was asked for"}' if fault.body is None else fault.body
            reply = Reply(status=fault.status, headers={"Content-Type": "application/json"}, body=body)
        else:
            reply = self._ask(request, fault)
        extra = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return Reply(status=reply.status, headers={**reply.headers, **extra, **fault.headers}, body=reply.body)

    def _ask(self, request: Request, fault: Fault) -> Reply:
        if fault.ignore_range:
            kept = {key: value for key, value in request.headers.items() if key != "range"}
            request = Request(
                method=request.method,
                raw_path=request.raw_path,
                query=request.query,
                headers=kept,
                body=request.body,
                origin=request.origin,
            )
        try:
            reply = self.server.answer(request)
        except Exception as error:  # or a bug of the hub would look like a fault of the client
            self.server.crashes.append(f"{request.method} {request.path}: {error!r}")
            return Reply(status=500, body=repr(error).encode())
        if fault.corrupt and reply.body:
            middle = len(reply.body) // 2
            body = reply.body[:middle] + bytes([reply.body[middle] ^ 0xFF]) + reply.body[middle + 1 :]
            return Reply(status=reply.status, headers=reply.headers, body=body)
        return reply

    def _send(self, request: Request, reply: Reply, fault: Fault) -> None:
        self._saw(request, reply.status)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if request.method == "HEAD":
            return
        body = memoryview(reply.body)
        if fault.cut_after is not None and fault.cut_after < len(body):
            body = body[: fault.cut_after]
            self.close_connection = True
        step = CHUNK if fault.drip is None else max(1, fault.drip // 20)
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            if fault.drip is None or not self.server.faults.lasts(fault):
                continue
            if self.server.closing.wait(0.05):
                self.close_connection = True
                return

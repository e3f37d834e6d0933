"""A gateway before an object store on loopback, which passes requests on and plays faults."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.object_servers import Server


@dataclass
class Rule:
    """A fault for the next `times` requests (None: for all) whose method fits and whose path has a `part`.

    `status` answers in place of the server, with a `code` of S3 and `headers`. `cut` ends an answer after that many
    bytes, `flip` changes its last byte, and `do` is called before the request is passed on, after `skip` such ones.
    """

    method: str = ""
    part: str = ""
    times: int | None = None
    skip: int = 0
    status: int | None = None
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    flip: bool = False
    delay: float = 0.0
    do: Callable[[], object] = lambda: None


class Gateway(ThreadingHTTPServer):
    """A port that passes requests on to a server as they are, and plays faults. `seen` are the requests."""

    daemon_threads = True

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = server
        self.rules: list[Rule] = []
        self.seen: list[tuple[str, str]] = []
        #: Changes the path of a request before it is passed on.
        self.path_for: Callable[[str, str], str] = lambda method, path: path
        #: The host that the server believes to be asked, where it answers to no other name.
        self.host: str | None = None
        #: Headers that an answer gets where the server forgets them.
        self.forgotten: dict[str, str] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def rule_for(self, method: str, path: str) -> Rule | None:
        with self.lock:
            self.seen.append((method, path))
            for rule in self.rules:
                if rule.method not in ("", method) or rule.part not in path or rule.times == 0:
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are killed, and servers that are, break connections."""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule = self.server.rule_for(self.command, self.path) or Rule()
        rule.do()
        time.sleep(rule.delay)
        if rule.status is not None:
            text = f"<?xml version='1.0'?><Error><Code>{rule.code}</Code><Message>no</Message></Error>".encode()
            return self._answer(rule.status, rule.headers, text)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind.port, timeout=60)
        try:
            path = self.server.path_for(self.command, self.path)
            connection.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    named = self.server.host if name.lower() == "host" else None
                    connection.putheader(name, named or value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return None
        finally:
            connection.close()
        named = {n: v for n, v in answer.getheaders() if n.lower() not in ("connection", "transfer-encoding")}
        known = {name.lower() for name in named}
        named |= {name: value for name, value in self.server.forgotten.items() if name.lower() not in known}
        if rule.flip and data:
            data = data[:-1] + bytes([data[-1] ^ 1])
        return self._answer(answer.status, named, data, cut=rule.cut)

    def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        headers = {name: value for name, value in headers.items() if name.lower() not in ("date", "server")}
        if self.command != "HEAD":
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        if cut is not None:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815


@contextlib.contextmanager
def gateway(server: Server) -> Iterator[Gateway]:
    """A gateway before a server, for one test."""
    standing = Gateway(server)
    threading.Thread(target=standing.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield standing
    finally:
        standing.shutdown()
        standing.server_close()

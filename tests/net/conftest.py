"""A tiny server on loopback for the tests of the network modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest

from synapse_sync.demo.server import Listener


@dataclass
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Site:
    """A server whose answers are functions of the handler, by path."""

    url: str
    port: int
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def says(
        self, path: str, body: bytes = b"", status: int = 200, length: int | None = None, **headers: str
    ) -> None:
        """Answer this path always with this; `_` in a header's name stands for `-`."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("Content-Length", str(len(body) if length is None else length))
            handler.end_headers()
            handler.wfile.write(body)
            if length is not None and length > len(body):
                handler.close_connection = True

        self.answers[path] = answer


def _serve() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            path = self.path.partition("?")[0]
            headers = {k.lower(): v for k, v in self.headers.items()}
            site.asked.append(Asked(self.command, self.path, headers, self.rfile.read(length)))
            answer = site.answers.get(path)
            if answer is None:
                self.send_error(404)
            else:
                answer(self)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Listener(Handler)
    site = Site(server.url, server.server_port)
    server.start()
    yield site
    server.stop()


@pytest.fixture
def site() -> Iterator[Site]:
    yield from _serve()


@pytest.fixture
def other() -> Iterator[Site]:
    """A second origin."""
    yield from _serve()

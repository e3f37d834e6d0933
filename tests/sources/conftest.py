"""A tiny site on loopback: answers by path, and a log of what was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from synapse_sync.demo.server import Listener


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """Routes from a path to an answer: a value, `(status, value)`, `(status, value, headers)` or a function."""

    url: str = ""
    routes: dict[str, Any] = field(default_factory=dict)
    log: list[Seen] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [seen.path for seen in self.log]

    def answer(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        self.log.append(seen)
        found = self.routes.get(seen.path, (404, {"error": "Not found"}))
        if isinstance(found, Callable):  # type: ignore[arg-type]
            found = found(seen)
        if not isinstance(found, tuple):
            found = (200, found)
        status, value, *headers = found
        return status, value, headers[0] if headers else {}


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # one packet an answer, or each waits for a delayed acknowledgement

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(self.command, parts.path, parse_qs(parts.query), headers, self.rfile.read(length))
            status, value, extra = site.answer(seen)
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **extra}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    """A running site; closed after the test."""
    site = Site()
    server = Listener(_handler(site))
    site.url = server.url
    server.start()
    yield site
    server.stop()

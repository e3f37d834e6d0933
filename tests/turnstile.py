"""A server that answers nobody until several requests wait at the same time: it proves that they overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from synapse_sync.demo.server import Listener

#: Seconds until a request that is alone is answered with an error.
_PATIENCE = 10.0


@dataclass
class Turnstile:
    """A server; `together` requests must wait before they are all answered. It counts connections and requests."""

    url: str = ""
    together: int = 1
    connections: int = 0
    requests: list[str] = field(default_factory=list)
    alone: int = 0

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.together)

    def wait(self) -> bool:
        """Wait for the others; False if they do not come."""
        try:
            self.barrier.wait(_PATIENCE)
        except threading.BrokenBarrierError:
            self.alone += 1
            return False
        return True


Answer = Callable[[BaseHTTPRequestHandler, str], tuple[int, bytes, dict[str, str]]]


@contextmanager
def turnstile(answer: Answer, together: int = 1) -> Iterator[Turnstile]:
    """Serve `answer`, which returns a status, a body and headers for a handler and its path."""
    seen = Turnstile(together=together)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def setup(self) -> None:
            super().setup()
            seen.connections += 1

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            seen.requests.append(f"{self.command} {path}")
            status, body, headers = answer(self, path) if seen.wait() else (500, b"alone", {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Listener(Handler)
    seen.url = server.url
    server.start()
    try:
        yield seen
    finally:
        server.stop()


def ranged(content: bytes) -> Answer:
    """An answer of a server of this file that honours ranges."""

    def answer(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
        header = handler.headers.get("Range")
        if header is None:
            return 200, content, {"Accept-Ranges": "bytes"}
        first, _, last = header.removeprefix("bytes=").partition("-")
        end = min(int(last) + 1 if last else len(content), len(content))
        if int(first) >= end:
            return 416, b"", {"Content-Range": f"bytes */{len(content)}"}
        return 206, content[int(first) : end], {"Content-Range": f"bytes {first}-{end - 1}/{len(content)}"}

    return answer

"""Requests and replies of the hub, the record of them, and faults to play."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

Origin = Literal["civitai", "huggingface", "github", "modelscope", "files", "storage"]
MODIFIED = "Sun, 01 Mar 2026 12:00:00 GMT"
PAGE = b"<!DOCTYPE html><html><head><title>Hub</title></head><body><h1>Please log in</h1></body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived; header names are lower-case."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""
    origin: Origin = "civitai"

    @property
    def path(self) -> str:
        """The decoded path."""
        return unquote(self.raw_path)

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path, each decoded on its own: a revision may hold an encoded slash."""
        return tuple(unquote(part) for part in self.raw_path.strip("/").split("/"))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The query's pairs in order."""
        return _pairs(self.query)

    def all(self, name: str) -> list[str]:
        """Return every value of a query parameter."""
        return [value for key, value in self.pairs if key == name]

    def first(self, name: str) -> str | None:
        """Return a query parameter's first value."""
        return next(iter(self.all(name)), None)

    def number(self, name: str, default: int) -> int | None:
        """Return a query parameter as a number: `default` if it is missing, None if it is no number."""
        text = self.first(name)
        if text is None:
            return default
        return int(text) if text.isascii() and text.isdigit() else None

    def ids(self, name: str) -> list[int]:
        """Return the numbers of a comma list or a repeated parameter."""
        parts = [part for value in self.all(name) for part in value.split(",")]
        return [int(part) for part in parts if part.strip().isdigit()]

    @property
    def bearer(self) -> str | None:
        """The token of the Authorization header."""
        _, _, token = self.headers.get("authorization", "").partition(" ")
        return token or None


@functools.lru_cache(maxsize=64)
def _pairs(query: str) -> tuple[tuple[str, str], ...]:
    """The pairs of a query, which is read once for all parameters that a site looks up in it."""
    return tuple(parse_qsl(query, keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Seen:
    """The record of one request that the hub answered; the path is decoded, the query is as sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    origin: Origin
    status: int


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """Answer with JSON; header names may be written with underscores."""
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply(status=status, headers={"Content-Type": "application/json; charset=utf-8", **named}, body=body)


def html_reply(status: int = 200, body: bytes = PAGE) -> Reply:
    """Answer with a web page, which no program expects."""
    return Reply(status=status, headers={"Content-Type": "text/html; charset=utf-8"}, body=body)


def redirect(status: int, location: str, **headers: str) -> Reply:
    """Send the client elsewhere."""
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    return Reply(status=status, headers={"Location": location, **named})


_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


def content_reply(
    request: Request,
    content: bytes,
    headers: Mapping[str, str],
    *,
    etag: str | None = None,
    ranges: bool = True,
) -> Reply:
    """Answer with a file, or with the range of it that the client asked for."""
    named = {"Content-Type": "application/octet-stream", "Last-Modified": MODIFIED, **headers}
    if etag is not None:
        named["ETag"] = f'"{etag}"'
    if not ranges:
        return Reply(headers=named, body=content)
    named["Accept-Ranges"] = "bytes"
    match = _RANGE.match(request.headers.get("range", ""))
    if match is None or match[0] == "bytes=-" or request.method == "HEAD" or not _still(request, named):
        return Reply(headers=named, body=content)
    total = len(content)
    start = int(match[1]) if match[1] else max(0, total - int(match[2]))
    end = int(match[2]) + 1 if match[1] and match[2] else total
    if start >= total:
        return Reply(status=416, headers={**named, "Content-Range": f"bytes */{total}"})
    if end <= start:
        return Reply(headers=named, body=content)
    body = content[start:end]
    named["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{total}"
    return Reply(status=206, headers=named, body=body)


def _still(request: Request, named: Mapping[str, str]) -> bool:
    wanted = request.headers.get("if-range")
    return wanted is None or wanted in (named.get("ETag"), named["Last-Modified"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault: it is played for the next `times` requests (None: for all), after the first `skip` ones."""

    status: int | None = None
    body: bytes | None = None
    retry_after: str | int | float | None = None
    html: bool = False
    drop: bool = False
    cut_after: int | None = None
    corrupt: bool = False
    ignore_range: bool = False
    delay: float = 0.0
    drip: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    skip: int = 0
    method: str | None = None
    origin: Origin | None = None


class Faults:
    """The faults in force, by the beginning of the (decoded) path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[tuple[str, Fault, list[int]]] = []

    def add(self, prefix: str, fault: Fault) -> None:
        """Play a fault for paths that begin with `prefix`; of several that fit, the oldest is played."""
        with self._lock:
            self._entries.append((prefix, fault, [0]))

    def clear(self) -> None:
        """Play no fault any more."""
        with self._lock:
            self._entries.clear()

    def lasts(self, fault: Fault) -> bool:
        """Whether this fault is still in force; when a drip is over, the rest of its body is sent at once."""
        with self._lock:
            return any(entry is fault for _, entry, _ in self._entries)

    def take(self, request: Request) -> Fault | None:
        """Return the fault to play for this request, and count the request; None without one."""
        with self._lock:
            for prefix, fault, count in self._entries:
                if not request.path.startswith(prefix) or fault.origin not in (None, request.origin):
                    continue
                if fault.method not in (None, request.method):
                    continue
                if fault.times is not None and count[0] >= fault.skip + fault.times:
                    continue
                count[0] += 1
                if count[0] > fault.skip:
                    return fault
        return None

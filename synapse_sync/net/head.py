"""Heads of answers that are as plain as most are: read in one go, and refused if anything about them is unusual."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: A head of RFC 9112 without folded lines. Names are tokens; a bare line break or another control fits nowhere.
_HEAD = re.compile(
    rb"HTTP/1\.1 ([1-5][0-9]{2})(?: [^\0-\x1f]*)?\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\xff]*\r\n)*)\r\n"
)
#: The statuses of files, parts and redirects; an answer with any other one is read elsewhere.
_STATUSES = frozenset({200, 206, 301, 302, 303, 307, 308})
#: Headers that decide where a body ends and what it is: two of one name could be read in two ways.
_SINGLE = frozenset({
    "accept-ranges", "content-disposition", "content-encoding", "content-length", "content-range", "content-type",
    "etag", "last-modified", "location",
})  # fmt: skip
_MOST_LINES = 90
#: The longest head that is read here, in bytes.
LONGEST = 32 << 10


class UnusualHead(ValueError):
    """A head that has to be read in the thorough way."""


class Headers(Mapping[str, str]):
    """The headers of one answer; names in any case. Lines of one name are joined, as in urllib3.

    `lines` has the lines by name, in lower case, and `several` those of names that appear more than once.
    """

    __slots__ = ("_lines", "_several")

    def __init__(self, lines: Mapping[str, str], several: Mapping[str, list[str]]) -> None:
        self._lines = lines
        self._several = several

    def __getitem__(self, name: str) -> str:
        name = name.lower()
        return ", ".join(self._several[name]) if name in self._several else self._lines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def getlist(self, name: str) -> list[str]:
        """Return the values of all lines of this name."""
        name = name.lower()
        if name in self._several:
            return list(self._several[name])
        return [self._lines[name]] if name in self._lines else []


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer: `length` is that of its body in bytes, `kept` whether the connection stays open."""

    status: int
    headers: Headers
    length: int
    kept: bool


def read_head(data: bytes) -> Head:
    """Read a status line and the header lines up to the empty one, which ends `data`.

    Raises `UnusualHead` unless it is that of a file, a part or a redirect over HTTP/1.1. The body must not be
    encoded, and must have one certain length.
    """
    match = _HEAD.fullmatch(data) if len(data) <= LONGEST else None
    if match is None:
        raise UnusualHead("it is not written as usual")
    status, text = int(match[1]), match[2].decode("latin-1")
    if status not in _STATUSES or text.count("\n") > _MOST_LINES:
        raise UnusualHead("its status, or its number of lines")
    lines: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for line in text.split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name in lines:
            if name in _SINGLE:
                raise UnusualHead("a header that may be there once only")
            several.setdefault(name, [lines[name]]).append(value)
        lines[name] = value
    headers = Headers(lines, several)
    length = lines.get("content-length", "")
    if "transfer-encoding" in lines or not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise UnusualHead("a body without a certain length")
    if lines.get("content-encoding", "").lower() not in ("", "identity"):
        raise UnusualHead("an encoded body")
    return Head(status, headers, int(length), "close" not in headers.get("connection", "").lower())

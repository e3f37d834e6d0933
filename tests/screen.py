"""A terminal for tests: the two streams of a command that looks at one, and the lines with their colours."""

from __future__ import annotations

import io
import re

_CODE = re.compile(r"\x1b\[([0-9;]*)m")
#: Colours by name, which every terminal shows in its own shade. Bright and dim ones vanish on some.
COLORS = {"1": "bold", "31": "red", "32": "green", "33": "yellow", "36": "cyan"}


class Screen:
    """A terminal; `out` and `err` are its two streams."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str]] = []
        self.out, self.err = _Stream(self, "|"), _Stream(self, ":")

    def lines(self) -> list[tuple[str, str]]:
        """Each line with the sign of its stream: `|` for answers, `:` for talk."""
        found: list[tuple[str, str]] = []
        pending: dict[str, str] = {}
        for sign, text in self.writes:
            *whole, rest = (pending.pop(sign, "") + text).split("\n")
            found += ((sign, line) for line in whole)
            if rest:
                pending[sign] = rest
        return found + list(pending.items())


class _Stream(io.TextIOBase):
    encoding = "utf-8"
    errors = "strict"

    def __init__(self, screen: Screen, sign: str) -> None:
        self._screen, self._sign = screen, sign

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError("a text is needed")  # by this click knows that it is no stream of bytes
        self._screen.writes.append((self._sign, text))
        return len(text)


def plain(text: str) -> str:
    """A text without its colours."""
    return _CODE.sub("", text)


def spans(text: str) -> list[tuple[str, str]]:
    """The coloured parts of a line, each with the names of its colours; an unknown code is its own name."""
    found, codes, start = [], [], 0
    for match in _CODE.finditer(text):
        part = text[start : match.start()]
        if codes and part:
            found.append((" ".join(COLORS.get(code, f"code {code}") for code in codes), part))
        codes = [] if match[1] in ("", "0") else [*codes, *match[1].split(";")]
        start = match.end()
    return found

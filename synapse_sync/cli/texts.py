"""Texts: numbers, sizes and words from outside as they may reach a terminal."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(size: float) -> str:
    """A number of bytes for people, in decimal units."""
    unit = 0
    while abs(size) >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or abs(size) >= 99.95 else f"{size:.1f} {_UNITS[unit]}"


def count_text(number: int, noun: str) -> str:
    """A number with its noun: `1 file`, `2 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def in_sync_text(files: int) -> str:
    """The sentence of a sync with nothing to do."""
    return f"in sync: {count_text(files, 'file')}, nothing to do"


def left_text(seconds: float) -> str:
    """A time to wait, for people: `40 s`, `3 min`, `2 h 5 min`."""
    if seconds < 60:
        return f"{max(1, seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def on_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; one that was closed before Python began is nothing at all."""
    return stream is not None and stream.isatty()


def terminal_width() -> int:
    """How many columns there are; 80 where nobody says."""
    import shutil

    return max(40, shutil.get_terminal_size().columns)


def cell_text(text: str) -> str:
    """Words from outside on one line, without anything that moves a cursor or turns the writing round."""
    return plain_text(" ".join(text.split()))


def text_width(text: str) -> int:
    """How many columns a text takes on a terminal."""
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if char.isascii():
        return 1
    import unicodedata

    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def fit_text(text: str, width: int) -> str:
    """A text cut or filled to a number of columns."""
    if (spare := width - text_width(text)) >= 0:
        return text + " " * spare
    kept, used = "", 0
    for char in text:
        used += _char_width(char)
        if used > width - 1:
            break
        kept += char
    return kept + "…" + " " * (width - 1 - text_width(kept))


def cut_text(text: str, width: int) -> str:
    """Words from outside on one line of so many columns at most."""
    text = cell_text(text)
    return text if text_width(text) <= width else fit_text(text, width).rstrip()


def plain_text(text: str) -> str:
    """Text from outside as it may reach a terminal: no control characters but line ends."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def fold_text(text: str, indent: int, stream: TextIO | None = None) -> str:
    """Words for stderr, on a terminal broken between words; only the first line is, the others are to be copied."""
    first, *rest = plain_text(text).split("\n")
    if on_terminal(stream or sys.stderr):
        import textwrap

        width = terminal_width() - indent
        folded = textwrap.wrap(first, width, break_long_words=False, break_on_hyphens=False)
        first, rest = (folded or [""])[0], [*folded[1:], *rest]
    return ("\n" + " " * indent).join((first, *rest))


def card_lines(fields: Mapping[str, str]) -> list[str]:
    """Aligned `name  value` lines, on a terminal broken between words."""
    import click

    width = max((len(name) for name in fields), default=0)
    return [
        f"{click.style(name.ljust(width), dim=True)}  {fold_text(value, width + 4, sys.stdout)}"
        for name, value in fields.items()
    ]


def color_wish() -> bool | None:
    """None lets click decide by the terminal; `NO_COLOR` (no-color.org) says no."""
    return False if os.environ.get("NO_COLOR") else None

"""Numbers in words: of bytes, and of things."""

from __future__ import annotations

import re

_UNITS = ("B", "kB", "MB", "GB", "TB")
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)[bB]?")


def count_text(number: int, noun: str) -> str:
    """Return a number with its noun: `1 file`, `2 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size_text(size: float) -> str:
    """Return a number of bytes in decimal units: `999 B`, `1.5 GB`."""
    unit = 0
    while abs(size) >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or abs(size) >= 99.95 else f"{size:.1f} {_UNITS[unit]}"


def parse_size(text: str) -> int | None:
    """Return the bytes that a text like `20GB` or `1.5 MB` means, in decimal units; None for any other text."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or len(match[1]) > 20:
        return None
    amount = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}[match[2].lower()]
    return max(int(amount), int(amount > 0))

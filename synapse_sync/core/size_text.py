"""Numbers in words: of bytes, and of things."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


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

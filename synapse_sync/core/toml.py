"""TOML from outside, read with limits: a file of a few kilobytes must not cost gigabytes."""

from __future__ import annotations

import re
from typing import Any

import tomli  # the standard library's reader, compiled: three times as fast

#: Characters. A lockfile of ten thousand models has two million.
MAX_TEXT = 32 << 20
#: The reader takes the square of a dotted key's parts, in time and in memory.
_MAX_PARTS = 200
_STRING = r""" "(?:[^"\\\n]|\\.)*" | '[^'\n]*' """
_PART = rf"(?: (?<![\w-])[\w-]+ | {_STRING} )"
#: Dotted keys, and what may look like one inside: strings and comments.
_TOKENS = rf"(?P<dotted> (?: {_PART} [ \t]*\.[ \t]* )+ ) | {_STRING} | \#[^\n]*"


def read_toml(text: str) -> dict[str, Any]:
    """The tables of a text; raises ValueError for whatever is wrong with it, also for what would be too much."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text of {len(text):,} characters; the most is {MAX_TEXT:,}")
    suspects = (line for line in text.split("\n") if line.count(".") >= _MAX_PARTS)
    found = (match["dotted"] or "" for line in suspects for match in re.finditer(_TOKENS, line, re.VERBOSE))
    if any(name.count(".") >= _MAX_PARTS for name in found):
        raise ValueError(f"a name of more than {_MAX_PARTS} parts")
    try:
        return tomli.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None

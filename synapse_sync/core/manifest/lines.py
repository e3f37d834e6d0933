"""The tables of a manifest, whose plain lines of models are read in a quarter of the time. Pure.

`synapse add` writes a line for each model. Lines with nothing but plain texts are read here, and all else by the
reader of TOML, which also judges every text that has a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from synapse_sync.core.toml import MAX_TEXT, read_toml
from synapse_sync.core.toml_error import TomlError

_HEADER = "\n[models]\n"
#: The quotes around strings of several lines: a line that looks like one of a model may be inside.
_SEVERAL_LINES = ('"""', "'''")
#: Characters of one line; a longer one is for the reader of TOML, which has limits.
_MAX_LINE = 100_000

# Patterns are kept as text: `re` compiles and remembers them when they are first used, so importing is cheap.

_TEXT = r'"[^"\\\x00-\x1f\x7f]*+"'
_PAIR = rf"[A-Za-z0-9_-]++ = {_TEXT}"
#: A name with its reference, or with a table of texts; or else a comment or an empty line.
_LINE = (
    rf"([A-Za-z0-9_-]++) = (?:({_TEXT})|\{{ ({_PAIR}(?:, {_PAIR})*+) \}})\n"
    r"|(?:\#[^\x00-\x1f\x7f]*+)?\n"
)
_EACH_PAIR = r'([A-Za-z0-9_-]++) = "([^"]*+)"'


@lru_cache(maxsize=2)  # a manifest before and after an edit, each of which is read and edited or checked
def manifest_tables(text: str) -> Mapping[str, Any]:
    """The tables of a manifest as `read_toml` returns them, which nobody may change; raises `TomlError`."""
    found = _quickly(text)
    return read_toml(text) if found is None else found


def _quickly(text: str) -> dict[str, Any] | None:
    """The tables; None for a text that has to be read as a whole."""
    header = text.find(_HEADER)
    if header < 0 or len(text) > MAX_TEXT or any(quotes in text for quotes in _SEVERAL_LINES):
        return None
    models, first, end = _plain_lines(text, header + len(_HEADER))
    if models is None:
        return None
    try:
        # The first line stays: it shows the place of these models among others, and that they are a table's.
        tables = read_toml(text[:first] + text[end:])
    except TomlError:
        return None  # the reader of the whole text knows the line
    others = tables["models"]
    merged: dict[str, Any] = {}
    for name, value in others.items():
        merged |= models if name in models else {name: value}
    if len(merged) < len(others) + len(models) - 1:
        return None  # a name is there twice
    tables["models"] = merged
    return tables


def _plain_lines(text: str, at: int) -> tuple[dict[str, Any] | None, int, int]:
    """The models on the plain lines from this place on, the end of the first one, and the end of them all.

    No models if there are none, or if a key is there twice.
    """
    models: dict[str, Any] = {}
    first = count = 0
    pairs = re.compile(_EACH_PAIR).findall
    for line in re.compile(_LINE).finditer(text, at):
        if line.start() != at or line.end() - at > _MAX_LINE:
            break
        at = line.end()
        name, reference, table = line.groups()
        if name is None:
            continue
        if reference is not None:
            models[name] = reference[1:-1]
        else:
            found = pairs(table)
            models[name] = value = dict(found)
            if len(value) < len(found):
                return None, 0, 0
        count += 1
        first = first or at
    return (models if count and len(models) == count else None), first, at

"""Convert: a table of the manifest as its shape, in one step where it is right, else key by key."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from synapse_sync.core.manifest.kinds import choices, plain_words, strings_in
from synapse_sync.core.manifest.mistakes import Mistakes, fields_of
from synapse_sync.core.manifest.shape import FileTable, ModelTable, RootTable, Table, TargetTable, WorkspaceTable
from synapse_sync.core.nearest import meant
from synapse_sync.core.unseen import is_plain_line

#: The tables within tables, by key.
_INNER: Mapping[type[Table], Mapping[str, type[Table]]] = {
    WorkspaceTable: {"prefer": FileTable},
    TargetTable: {"root": RootTable},
    ModelTable: {"file": FileTable, "prefer": FileTable},
}
#: Keys whose values appear unchanged in the canonical line of a requirement, and one that is printed.
ONE_LINE = {"type", "file", "prefer", "include", "exclude", "extract", "groups", "origin"}


def as_shape(table: dict[str, Any], shape: type[Table]) -> Any:
    """A table as its shape in one step, which most are; None for one that has to be read key by key."""
    try:
        found = msgspec.convert(table, shape)
    except msgspec.ValidationError:  # or a date of TOML's own
        return None
    plain = all(is_plain_line(text) for key in ONE_LINE & table.keys() for text in strings_in(table[key]))
    return found if plain else None


def converted(path: tuple[str, ...], table: dict[str, Any], shape: type[Table], mistakes: Mistakes) -> Any:
    """A table as its shape; None, and mistakes, if it does not fit."""
    if (found := as_shape(table, shape)) is not None:
        return found
    fine = mistakes.known_keys(path, table, shape)
    told: set[str] = set()
    for name, inner_shape in _INNER.get(shape, {}).items():
        inner = table.get(name)
        if isinstance(inner, dict) and not mistakes.known_keys((*path, name), inner, inner_shape):
            told.add(name)
    fine = fine and not told
    values: dict[str, Any] = {}
    for field in fields_of(shape):
        key = field.encode_name
        if key in told:
            continue
        if key not in table:
            if field.required:
                fine = False
                if all(meant(other, [key]) is None for other in table):  # a misspelt one was reported
                    mistakes.bad(path, f"`{key}` is missing")
            continue
        # TOML has dates of its own; both spellings mean the same.
        value = table[key].isoformat() if isinstance(table[key], datetime.date) else table[key]
        try:
            values[field.name] = msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            if isinstance(value, str) and (known := choices(field.type)):
                mistakes.choice((*path, key), value, known)
                fine = False
                continue
            what, _, where = str(error).partition(" - at `$")
            inner = re.findall(r"[^.\[\]`]+", re.sub(r"\[\d*\]", "", where))
            mistakes.bad((*path, key, *inner), plain_words(what))
            fine = False
            continue
        if key in ONE_LINE and not all(map(is_plain_line, strings_in(value))):
            mistakes.bad((*path, key), "it contains a line break or another invisible character")
            fine = False
    return shape(**values) if fine else None

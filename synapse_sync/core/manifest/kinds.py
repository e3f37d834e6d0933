"""Kinds of values: the words that TOML has for them, and small values out of what a table says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

from synapse_sync.core.manifest.shape import FileTable
from synapse_sync.core.manifest.values import ANY_FILE, FileWish


def choices(kind: Any) -> tuple[str, ...]:
    """The words that a field accepts, where its type is a list of words; else none."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(kind) if isinstance(kind, type) and issubclass(kind, StrEnum) else ()


_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a decimal number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def plain_words(what: str) -> str:
    """Return msgspec's message about a wrong value in TOML's words."""

    def plain(match: re.Match[str]) -> str:
        kinds = [kind for kind in match[1].split(" | ") if kind != "null"]
        if not all(kind in _WORDS for kind in kinds):
            return match[0]
        return " or ".join(_WORDS[kind] for kind in kinds) or "nothing"

    words = re.sub(r"`([^`]*)`", plain, what).replace("Expected", "expected")
    return words.replace("expected true or false or ", "expected true, false or ")


def kind_of(value: object) -> str:
    """What TOML calls the type of a value."""
    names = {
        bool: "a boolean",
        str: "a string",
        int: "a number",
        float: "a decimal number",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date")


def strings_in(value: object) -> Iterator[str]:
    """The text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for item in value for text in strings_in(item))
    elif isinstance(value, dict):
        yield from (text for item in value.values() for text in strings_in(item))


def patterns_of(value: str | list[str]) -> tuple[str, ...]:
    """One pattern or a list of them, as patterns."""
    return (value,) if isinstance(value, str) else tuple(value)


NOTHING = FileTable()


def wish_of(raw: FileTable) -> FileWish:
    """A table that describes a file, as a value; most are empty."""
    if raw == NOTHING:
        return ANY_FILE
    return FileWish(
        format=raw.format,
        precision=raw.precision,
        size=raw.size,
        quant=raw.quant,
        name=raw.name,
        type=raw.type,
        id=None if raw.id is None else str(raw.id),
    )

"""Editing the manifest as text: what is not touched stays as it is, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from synapse_sync.core.names import clash_key
from synapse_sync.errors import InputError, InvalidManifest


def add_model(text: str, name: str, value: str | Mapping[str, object]) -> str:
    """The manifest with one more model, in the short form for a string, else as a table at the end.

    Raises `InvalidManifest` if the text cannot be read or the name is taken.
    """
    document = _parse(text)
    models = document.get("models")
    if isinstance(models, Mapping) and clash_key(name) in {clash_key(str(known)) for known in models}:
        raise InvalidManifest(f"synapse.toml has a model `{name}` already", hint="choose another --name")
    newline = "\r\n" if "\r\n" in text else "\n"
    if isinstance(value, str):
        return _insert_line(text, f"{_key(name)} = {_string(value)}", newline)
    block = [f"[models.{_key(name)}]", *(f"{_key(key)} = {_literal(item)}" for key, item in value.items())]
    gap = "" if not text else newline if text.endswith(("\n", "\r\n")) else newline * 2
    changed = text + gap + newline.join(block) + newline
    return changed if _adds_one(text, changed) else _add_by_parser(text, name, _inline(value))


def set_model_value(text: str, name: str, key: str, value: Any) -> str:
    """The manifest with one value of one model set; a short form becomes a table. Raises `InputError`."""
    document = _parse(text)
    models = document.get("models")
    if not isinstance(models, Mapping) or name not in models:
        raise InputError(f"no model `{name}` in synapse.toml")
    entry = models[name]
    if isinstance(entry, str):
        table = tomlkit.inline_table()
        table["source"] = str(entry)
        table[key] = value
        models[name] = table  # type: ignore[index]
    else:
        entry[key] = _item(value)
    changed = tomlkit.dumps(document)
    if "\r\n" in text:
        changed = re.sub(r"(?<!\r)\n", "\r\n", changed)
    return _checked(changed)


def remove_model(text: str, name: str) -> str:
    """The manifest without a model: its line or its tables, and nothing else. Raises `InputError`."""
    document = _parse(text)
    models = document.get("models")
    if not isinstance(models, Mapping) or name not in models:
        raise InputError(f"no model `{name}` in synapse.toml")
    removed = _without_lines(text, name)
    if removed is not None and _same_but(text, removed, name):
        return removed
    del models[name]  # type: ignore[attr-defined]
    return _checked(tomlkit.dumps(document))


def _parse(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, RecursionError) as error:
        raise InvalidManifest(f"synapse.toml: not valid TOML: {error}") from error


def _checked(text: str) -> str:
    _parse(text)
    return text


def _insert_line(text: str, line: str, newline: str) -> str:
    """Put a line after the last entry directly below `[models]`, or open that table at the end."""
    lines = text.splitlines(keepends=True)
    for header, row in enumerate(lines):
        # Texts over many lines may hold what looks like a header: the parser has the last word on each try.
        if re.match(r"\s*\[\s*models\s*\]\s*(#.*)?$", row.rstrip()) and (
            changed := _insert_below(text, lines, header, line, newline)
        ):
            return changed
    gap = "" if not text else newline if text.endswith("\n") else newline * 2
    changed = f"{text}{gap}[models]{newline}{line}{newline}"
    if _adds_one(text, changed):
        return changed
    key, _, value = line.partition(" = ")
    pair = tomlkit.parse(f"{key} = {value}")
    name = next(iter(pair))
    return _add_by_parser(text, str(name), pair[name])


def _insert_below(text: str, lines: list[str], header: int, line: str, newline: str) -> str | None:
    end = next((n for n in range(header + 1, len(lines)) if re.match(r"\s*\[", lines[n])), len(lines))
    for place in range(end, header, -1):
        before = lines[place - 1]
        if place > header + 1 and not before.strip():
            continue
        tail = "" if before.endswith("\n") else newline
        changed = "".join([*lines[:place], tail, line, newline, *lines[place:]])
        if _adds_one(text, changed):
            return changed
    return None


def _add_by_parser(text: str, name: str, value: Any) -> str:
    """The last resort, for models that are written in an unusual way."""
    document = _parse(text)
    document["models"][name] = value
    return _checked(tomlkit.dumps(document))


def _adds_one(before: str, after: str) -> bool:
    """Whether the change added one model and changed nothing else."""
    try:
        old, new = tomlkit.parse(before).unwrap(), tomlkit.parse(after).unwrap()
    except (TOMLKitError, RecursionError):
        return False
    models, more = old.pop("models", {}), new.pop("models", {})
    return old == new and len(more) == len(models) + 1 and all(more.get(name) == models[name] for name in models)


def _same_but(before: str, after: str, name: str) -> bool:
    """Whether the change took away this model and nothing else."""
    try:
        old, new = tomlkit.parse(before).unwrap(), tomlkit.parse(after).unwrap()
    except (TOMLKitError, RecursionError):
        return False
    models = {key: value for key, value in old.pop("models", {}).items() if key != name}
    return bool(new.pop("models", {}) == models and old == new)


def _without_lines(text: str, name: str) -> str | None:
    """The text without the line, or the tables, of one model; None if it is written in another way."""
    lines = text.splitlines(keepends=True)
    either = rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')"
    table = re.compile(rf"\s*\[\s*models\s*\.\s*{either}\s*(?:\.[^\]]*)?\]")
    start = next((n for n, row in enumerate(lines) if table.match(row)), None)
    if start is not None:
        end = start + 1
        while end < len(lines) and (not re.match(r"\s*\[", lines[end]) or table.match(lines[end])):
            end += 1
        # Comments and blank lines before the next table belong to that table.
        keep = end
        while not lines[keep - 1].strip() or lines[keep - 1].lstrip().startswith("#"):
            keep -= 1
        if end == len(lines):
            # The last table takes along the blank lines that set it off.
            while start > 0 and not lines[start - 1].strip():
                start -= 1
        elif keep < end and not lines[keep].strip() and start > 0 and not lines[start - 1].strip():
            keep += 1  # one blank line of the two around it is enough
        return "".join(lines[:start] + lines[keep:])
    line = re.compile(rf"\s*{either}\s*=")
    header = next((n for n, row in enumerate(lines) if re.match(r"\s*\[\s*models\s*\]", row)), None)
    if header is None:
        return None
    for number in range(header + 1, len(lines)):
        if re.match(r"\s*\[", lines[number]):
            return None
        if line.match(lines[number]):
            return "".join(lines[:number] + lines[number + 1 :])
    return None


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _string(text: str) -> str:
    return tomlkit.string(text).as_string()


def _item(value: object) -> Any:
    return tomlkit.item(_inline(value) if isinstance(value, Mapping) else value)


def _inline(value: Mapping[str, object]) -> InlineTable:
    table = tomlkit.inline_table()
    for key, item in value.items():
        table[key] = item
    return table


def _literal(value: object) -> str:
    """A value on one line, as TOML writes it."""
    return str(_item(value).as_string())

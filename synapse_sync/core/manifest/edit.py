"""Edit the manifest as text: the statements of other models stay as they are, byte for byte.

The whole text is read by tomli and cut into statements once; tomlkit, which is slow, sees only what changes. So an
edit takes time in proportion to the size of the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from synapse_sync.core.manifest.lines import manifest_tables
from synapse_sync.core.names import clash_key
from synapse_sync.core.toml import Statement, statements
from synapse_sync.core.toml_error import TomlError
from synapse_sync.errors import InputError, InvalidManifest

_MODELS = ("models",)
_Entries = Sequence[tuple[str, str | Mapping[str, object]]]
#: Texts that TOML writes without any escape.
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\"\\]*")


def add_model(text: str, name: str, value: str | Mapping[str, object]) -> str:
    """The manifest with one more model, see `add_models`."""
    return add_models(text, [(name, value)])


def add_models(text: str, entries: Sequence[tuple[str, str | Mapping[str, object]]]) -> str:
    """The manifest with more models: pairs of a name and a reference, or a table of values.

    Each becomes one line, so that git's `merge=union` can put the additions of two branches together: of tables
    over several lines it would drop the lines that both have. The line goes below `[models]`, to its place where
    the names are sorted, else after the last one. Raises `InvalidManifest` if the text cannot be read or a name is
    taken.
    """
    before = _read(text)
    models = before.get("models", {})
    taken = {clash_key(str(known)) for known in models} if isinstance(models, Mapping) else set()
    for name, _ in entries:
        if clash_key(name) in taken:
            raise InvalidManifest(f"synapse.toml has a model `{name}` already", hint="choose another --name")
        taken.add(clash_key(name))

    def cut() -> str:
        return _joined(_with_models(list(statements(text)), entries, _newline(text)))

    def whole(document: Any) -> None:
        for name, value in entries:
            document.setdefault("models", {})[name] = _item(value)

    return _checked(text, cut, whole, {**before, "models": {**models, **dict(entries)}})


def set_model_value(text: str, name: str, key: str, value: Any) -> str:
    """The manifest with one value of one model set; a short form becomes a table. Raises `InputError`."""
    return set_model_values(text, key, {name: value})


def set_model_values(text: str, key: str, values: Mapping[str, Any]) -> str:
    """The manifest with one key of several models set, by their names; see `set_model_value`."""
    before = _read(text)
    tables: dict[str, dict[str, Any]] = {}
    for name in values:
        model = _model(before, name)
        tables[name] = {"source": model} if isinstance(model, str) else dict(model)

    def whole(document: Any) -> None:
        for name, value in values.items():
            if isinstance(before["models"][name], str):
                document["models"][name] = _item(tables[name])
            document["models"][name][key] = _item(value)

    changed = {name: {**table, key: values[name]} for name, table in tables.items()}
    wanted = {**before, "models": {**before["models"], **changed}}
    return _checked(text, lambda: _with_values(text, key, values), whole, wanted)


def _with_values(text: str, key: str, values: Mapping[str, Any]) -> str:
    """The text with one key of several models set, by its statements."""
    parts = list(statements(text))
    places: dict[tuple[str, ...], int] = {}
    for name, value in values.items():
        path = (*_MODELS, name)
        places = places or {part.path: number for number, part in enumerate(parts) if part.is_entry}
        # The value itself, else the line of the model, else the one table of all models.
        at = next((places[found] for found in ((*path, key), path, _MODELS) if found in places), None)
        if at is not None:
            parts[at] = _edited(parts[at], (*path, key), value)
            continue
        # Below the last line of the model's own table.
        at = max(n for n, p in enumerate(parts) if p.path[:2] == path and p.table in (path, _MODELS, ()))
        table = parts[at].table
        line = ".".join(_key(word) for word in (*path, key)[len(table) :])
        _insert(parts, at + 1, Statement(f"{line} = {_literal(value)}", 0, (*path, key), table), _newline(text))
        places = {}
    return _joined(parts)


def remove_model(text: str, name: str) -> str:
    """The manifest without a model, see `remove_models`."""
    return remove_models(text, [name])


def remove_models(text: str, names: Collection[str]) -> str:
    """The manifest without some models: their lines or their tables, and nothing else. Raises `InputError`."""
    before = _read(text)
    for name in names:
        _model(before, name)
    gone = set(names)

    def whole(document: Any) -> None:
        for name in names:
            del document["models"][name]

    models = {key: value for key, value in before.get("models", {}).items() if key not in gone}
    return _checked(text, lambda: _without(text, names), whole, {**before, "models": models})


def _without(text: str, names: Collection[str]) -> str:
    """The text without some models, by its statements."""
    paths = {(*_MODELS, name): None for name in names}
    parts = list(statements(text))
    inline = next((n for n, part in enumerate(parts) if part.path == _MODELS and part.is_entry), None)
    if inline is not None:
        for path in paths:
            parts[inline] = _edited(parts[inline], path, None)
    else:
        parts = _without_tables(parts, paths)
        parts = [part for part in parts if not (part.is_entry and part.path[:2] in paths)]
    return _joined(parts)


# -- reading and checking --------------------------------------------------------------------------


def _read(text: str) -> Mapping[str, Any]:
    try:
        return manifest_tables(text)
    except TomlError as error:
        raise InvalidManifest(error.in_file("synapse.toml"), hint=error.hint) from error


def _model(data: Mapping[str, Any], name: str) -> str | Mapping[str, Any]:
    models = data.get("models")
    if not isinstance(models, Mapping) or name not in models:
        raise InputError(f"no model `{name}` in synapse.toml", hint="`synapse list` lists them")
    model: str | Mapping[str, Any] = models[name]
    return model


def _checked(text: str, cut: Callable[[], str], whole: Callable[[Any], None], wanted: Mapping[str, Any]) -> str:
    """The edited text, which tomli reads as what was wanted and nothing else; raises `InvalidManifest`.

    `cut` edits single statements, which a scanner of our own has found. Where that does not have the right outcome,
    `whole` edits the document as tomlkit reads it, which is slow.
    """
    for edited in (cut, lambda: _as_document(text, whole)):
        try:
            result = edited()
            if {"models": {}, **manifest_tables(result)} == {"models": {}, **wanted}:
                return result
        except (ValueError, LookupError, TypeError, AttributeError):  # of tomlkit, or of a statement that is none
            continue
    raise InvalidManifest(
        "synapse.toml is written in a way that synapse cannot edit", hint="edit this model by hand"
    )


def _as_document(text: str, edit: Callable[[Any], None]) -> str:
    """The whole text edited by tomlkit, which keeps the rest as it is."""
    import tomlkit

    document = tomlkit.parse(text)
    edit(document)
    return tomlkit.dumps(document)


# -- adding ----------------------------------------------------------------------------------------


def _add_below(parts: list[Statement], header: int, entries: _Entries, newline: str) -> None:
    """Put models into the table that begins at `header`, each to its place by name, else below the last one.

    Thousands take no longer than their lines: the table is looked at once.
    """
    end = next((n for n in range(header + 1, len(parts)) if parts[n].is_header), len(parts))
    here = [n for n in range(header + 1, end) if parts[n].is_entry]
    below = (n for n in range(header + 1, end) if not parts[n].text.strip())
    last = here[-1] + 1 if here else next(below, end)  # an empty table: below the comments that follow the header
    names = [clash_key(parts[n].path[1]) for n in here]
    # Where blank lines or comments part the list into groups, the right group is not known.
    is_list = not here or here[-1] - here[0] == len(here) - 1
    # A comment above the first entry may be about it.
    is_topped = bool(here) and parts[here[0] - 1].text.lstrip().startswith("#")
    is_sorted = names == sorted(names)
    for name, value in entries:
        key = clash_key(name)
        at = bisect_right(names, key) if is_list and is_sorted and len(names) > 1 else len(names)
        if at == 0 and is_topped:
            at = len(names)
        is_sorted = is_sorted and (at < len(names) or not names or names[-1] <= key)
        place = last - (len(names) - at)
        line = f"{_key(name)} = {_literal(value)}"
        _insert(parts, place, Statement(line, 0, (*_MODELS, name), _MODELS), newline)
        names.insert(at, key)
        last += 1


def _with_models(parts: list[Statement], entries: _Entries, newline: str) -> list[Statement]:
    """The statements with more models, in the way in which the others are written."""
    header = next((n for n, part in enumerate(parts) if part.is_header and part.path == _MODELS), None)
    inline = next((n for n, part in enumerate(parts) if part.is_entry and part.path == _MODELS), None)
    dotted = [n for n, part in enumerate(parts) if part.is_entry and not part.table and part.path[:1] == _MODELS]
    if header is None and inline is not None:  # models = { … }
        for name, value in entries:
            parts[inline] = _edited(parts[inline], (*_MODELS, name), value)
        return parts
    if header is None and dotted:  # models.a = …, before any header
        for place, (name, value) in enumerate(entries, dotted[-1] + 1):
            line = f"models.{_key(name)} = {_literal(value)}"
            _insert(parts, place, Statement(line, 0, (*_MODELS, name), ()), newline)
        return parts
    if header is None:
        if parts:
            _insert(parts, len(parts), Statement("", 0, (), ()), newline)
        header = len(parts)
        _insert(parts, header, Statement("[models]", 0, _MODELS, _MODELS), newline)
    _add_below(parts, header, entries, newline)
    return parts


def _insert(parts: list[Statement], place: int, new: Statement, newline: str) -> None:
    """Insert a statement, whose text has no line end yet, before the one at `place`."""
    if place and not parts[place - 1].text.endswith("\n"):
        parts[place - 1] = replace(parts[place - 1], text=parts[place - 1].text + newline)
    parts.insert(place, replace(new, text=new.text + newline))


# -- changing one statement ------------------------------------------------------------------------


def _edited(part: Statement, path: Sequence[str], value: object) -> Statement:
    """A statement in which the value at a path is set; with None it is removed."""
    import tomlkit

    document = tomlkit.parse(part.text)
    place: Any = document
    *above, last = path[len(part.table) :]
    for key in above:
        if isinstance(place[key], str):  # the short form: a reference
            place[key] = _item({"source": str(place[key])})
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = _item(value)
    text = tomlkit.dumps(document)
    return replace(part, text=re.sub(r"(?<!\r)\n", "\r\n", text) if "\r\n" in part.text else text)


# -- removing --------------------------------------------------------------------------------------


def _without_tables(parts: Sequence[Statement], paths: Collection[tuple[str, ...]]) -> list[Statement]:
    """The statements without the tables of some models, and without the blank lines that set them off."""
    kept: list[Statement] = []
    number = 0
    while number < len(parts):
        part = parts[number]
        if not (part.is_header and part.path[:2] in paths):
            kept.append(part)
            number += 1
            continue
        end = number + 1
        while end < len(parts) and (not parts[end].is_header or parts[end].path[:2] == part.path[:2]):
            end += 1
        # Comments and blank lines before the next table belong to that table.
        following = end
        while not parts[following - 1].path:
            following -= 1
        if end == len(parts):
            while kept and not kept[-1].text.strip():
                kept.pop()
        elif following < end and _is_blank(parts[following]) and kept and _is_blank(kept[-1]):
            following += 1  # one blank line of the two around it is enough
        number = following
        if following < end:
            kept += parts[following:end]
            number = end
    return kept


def _is_blank(part: Statement) -> bool:
    return not part.text.strip()


# -- values as text --------------------------------------------------------------------------------


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _joined(parts: Sequence[Statement]) -> str:
    return "".join(part.text for part in parts)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else str(_item(name).as_string())


def _literal(value: object) -> str:
    """A value on one line, as TOML writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and _PLAIN.fullmatch(value):  # thousands at once: tomlkit is slow
        return f'"{value}"'
    return str(_item(value).as_string())


def _item(value: object) -> Any:
    import tomlkit

    if not isinstance(value, Mapping):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    for key, item in value.items():
        table[key] = _item(item)
    return table

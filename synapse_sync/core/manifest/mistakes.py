"""Mistakes in the manifest: where each one is, and the nearest right word."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from synapse_sync.core.manifest.shape import FileTable, ModelTable, Table
from synapse_sync.core.nearest import nearest, suggestion
from synapse_sync.core.toml import Statement, statements
from synapse_sync.errors import InvalidManifest, SynapseError

#: Keys with which somebody may want to pass a token.
_SECRETS = {"token", "tokens", "api-key", "apikey", "key", "password", "auth", "authorization", "headers", "secret"}
#: Keys of the hub's own libraries, and the keys that mean the same here.
_THEIR_WORDS = {
    "variant": 'write `file = { precision = "fp16" }`',
    "revision": "write it in the source: `hf://owner/name@revision`",
    "allow-patterns": "write `include`",
    "ignore-patterns": "write `exclude`",
}
_SECRETS_HINT = "`synapse login HOST` keeps a token; or write it under [tokens] in your config.toml"


@functools.cache
def fields_of(shape: type[Table]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a table: msgspec compiles their types anew whenever it is asked."""
    return msgspec.structs.fields(shape)


class Mistakes:
    """The mistakes in one manifest: `text` is its content, `filename` its name in messages."""

    def __init__(self, text: str, filename: str) -> None:
        self._text = text
        self._filename = filename
        self.errors: list[SynapseError] = []

    def bad(self, path: tuple[str, ...], what: str, hint: str | None = None, line: int | None = None) -> None:
        """Keep one mistake: the keys that lead to it, the reason, the mend, and its line if the key has none."""
        line = line or self.line(path)
        where = f"{self._filename}:{line}" if line else self._filename
        keys = ".".join(key or '""' for key in path)
        self.errors.append(InvalidManifest(f"{where}: {keys}: {what}", hint=hint))

    @functools.cached_property
    def _statements(self) -> dict[tuple[str, ...], Statement]:
        """The statements by path. Only mistakes need them; they are made once."""
        return _first_statements(self._text)

    def line(self, path: tuple[str, ...]) -> int | None:
        """The line of a key, or else of the nearest table around it."""
        found = self._statements
        return next((found[path[:n]].line for n in range(len(path), 0, -1) if path[:n] in found), None)

    def dot_in_name(self, path: tuple[str, ...], table: Mapping[str, Any], shape: type[Table]) -> bool:
        """Complain about a name that was written with a dot and without quotes, which TOML reads as two names."""
        known = [field.encode_name for field in fields_of(shape)]
        key = next(iter(table), "source")
        if key in known or any(name in known for name in table):
            return False
        statement = self._statements.get((*path, key))
        if statement is None or statement.table == path or (not statement.table and nearest(key, known)):
            return False
        name, inner = f"{path[-1]}.{key}", table.get(key)
        while isinstance(inner, dict) and len(inner) == 1 and next(iter(inner)) not in known:  # a.b.c = "…"
            key, inner = next(iter(inner.items()))
            name += f".{key}"
        written = f'[{path[0]}."{name}"]' if statement.is_header else f'"{name}" = …'
        self.bad((path[0], name), "a name with a dot needs quotes", f"write `{written}`", statement.line)
        return True

    def known_keys(self, path: tuple[str, ...], table: Mapping[str, Any], shape: type[Table]) -> bool:
        """Report unknown keys, each with the nearest known one; returns whether all keys are known."""
        known = [field.encode_name for field in fields_of(shape)]
        unknown = [key for key in table if key not in known]
        for key in unknown:
            if key.replace("_", "-").casefold() in _SECRETS:
                self.bad((*path, key), "do not put tokens in the manifest, which is shared", _SECRETS_HINT)
                continue
            hint = suggestion(key, known, what="keys")
            if shape in (ModelTable, FileTable):
                hint = _THEIR_WORDS.get(key.replace("_", "-"), hint)
            self.bad((*path, key), "unknown key", hint)
        return not unknown

    def choice(self, path: tuple[str, ...], value: str, known: tuple[str, ...]) -> None:
        """Report a word that is not among the known ones."""
        words = f"{', '.join(known[:-1])} or {known[-1]}"
        self.bad(path, f"expected {words}, got `{value}`", suggestion(value, known, ""))


def _first_statements(text: str) -> dict[tuple[str, ...], Statement]:
    """The first statement that mentions each table and each key, by path."""
    found: dict[tuple[str, ...], Statement] = {}
    for statement in statements(text):
        for length in range(len(statement.table) + 1 if statement.is_entry else 1, len(statement.path) + 1):
            found.setdefault(statement.path[:length], statement)
    return found

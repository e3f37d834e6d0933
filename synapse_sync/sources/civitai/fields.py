"""The reader of Civitai's JSON: it knows all names that a field ever had, and all forms of its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from synapse_sync.errors import NetworkError


class Fields:
    """A JSON object, read by all names that its fields ever had; `where` is for error messages."""

    __slots__ = ("raw", "where")

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, Mapping):
            raise NetworkError(f"Civitai answered something unexpected: `{where}` is not an object")
        self.raw: Mapping[str, Any] = raw
        self.where: str = where

    def value(self, *names: str) -> Any:
        """Return the first of these fields that exists and is not null."""
        return next((self.raw[name] for name in names if self.raw.get(name) is not None), None)

    def text(self, *names: str) -> str | None:
        """Return a string; a number counts as one, since some names consist of digits."""
        value = self.value(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        return str(value)

    def integer(self, *names: str) -> int | None:
        """Return a whole number, also one in a string."""
        return _integer(self.value(*names))

    def number(self, *names: str) -> float | None:
        """Return a number, also one in a string."""
        value = self.value(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None

    def flag(self, *names: str) -> bool | None:
        """Return a boolean, also one in words."""
        value = self.value(*names)
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower())
        return bool(value) if isinstance(value, bool | int) else None

    def objects(self, *names: str) -> list[Fields]:
        """Return a list of objects; nulls and other values in it are skipped."""
        value = self.value(*names)
        if not isinstance(value, list):
            return []
        where = f"{self.where}.{names[0]}"
        return [Fields(item, f"{where}[{place}]") for place, item in enumerate(value) if isinstance(item, Mapping)]

    def object(self, *names: str) -> Fields:
        """Return an object, an empty one if it is missing."""
        value = self.value(*names)
        return Fields(value if isinstance(value, Mapping) else {}, f"{self.where}.{names[0]}")

    def words(self, *names: str) -> tuple[str, ...]:
        """Return a list of strings; an object in it (a tag, in 2023) stands for its name."""
        value = self.value(*names)
        if isinstance(value, str):
            return (value,)
        items = value if isinstance(value, list) else []
        named = [item.get("name") if isinstance(item, Mapping) else item for item in items]
        return tuple(str(item) for item in named if isinstance(item, str | int) and not isinstance(item, bool))

    def need_objects(self, *names: str) -> list[Fields]:
        """Return a required list of objects, which may be empty: a page without it is no page."""
        if not isinstance(self.value(*names), list):
            raise NetworkError(f"Civitai's answer lacks the list `{self.where}.{names[0]}`")
        return self.objects(*names)

    def need_text(self, *names: str) -> str:
        """Return a required string; raises `NetworkError`."""
        value = self.text(*names)
        if not value:
            raise NetworkError(f"Civitai's answer lacks the text `{self.where}.{names[0]}`")
        return value

    def table(self, *names: str) -> Mapping[str, Any] | None:
        """Return an object as it is, for facts that are only shown."""
        value = self.value(*names)
        return value if isinstance(value, Mapping) else None

    def need_integer(self, *names: str) -> int:
        """Return a required whole number; raises `NetworkError`."""
        value = self.integer(*names)
        if value is None:
            raise NetworkError(f"Civitai's answer lacks the number `{self.where}.{names[0]}`")
        return value


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\d{1,18}", value) else None
    return value if isinstance(value, int) else None

"""How Civitai's JSON is read: fields by all the names they ever had, values in all the forms they ever took."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from synapse_sync.errors import NetworkError


class Fields:
    """A JSON object that is asked for fields by all the names they ever had; `where` is for error messages."""

    __slots__ = ("raw", "where")

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, Mapping):
            raise NetworkError(f"Civitai answered something unexpected: `{where}` is not an object")
        self.raw: Mapping[str, Any] = raw
        self.where = where

    def value(self, *names: str) -> Any:
        """The first of these fields that is there and not null."""
        return next((self.raw[name] for name in names if self.raw.get(name) is not None), None)

    def text(self, *names: str) -> str | None:
        """A string; numbers are accepted as strings, since some names consist of digits."""
        value = self.value(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        return str(value)

    def integer(self, *names: str) -> int | None:
        """A whole number, also one in a string."""
        return _integer(self.value(*names))

    def number(self, *names: str) -> float | None:
        """A number, also one in a string."""
        value = self.value(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None

    def flag(self, *names: str) -> bool | None:
        """A boolean, also one in words."""
        value = self.value(*names)
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower())
        return bool(value) if isinstance(value, bool | int) else None

    def objects(self, *names: str) -> list[Fields]:
        """A list of objects; nulls and other things in it are skipped."""
        value = self.value(*names)
        if not isinstance(value, list):
            return []
        where = f"{self.where}.{names[0]}"
        return [Fields(item, f"{where}[{place}]") for place, item in enumerate(value) if isinstance(item, Mapping)]

    def object(self, *names: str) -> Fields:
        """An object; an empty one where there is none."""
        value = self.value(*names)
        return Fields(value if isinstance(value, Mapping) else {}, f"{self.where}.{names[0]}")

    def words(self, *names: str) -> tuple[str, ...]:
        """A list of strings; objects in it (tags, in 2023) stand for their names."""
        value = self.value(*names)
        if isinstance(value, str):
            return (value,)
        items = value if isinstance(value, list) else []
        named = [item.get("name") if isinstance(item, Mapping) else item for item in items]
        return tuple(str(item) for item in named if isinstance(item, str | int) and not isinstance(item, bool))

    def need_objects(self, *names: str) -> list[Fields]:
        """A list of objects that has to be there, be it empty: a page without it is no page."""
        if not isinstance(self.value(*names), list):
            raise NetworkError(f"Civitai's answer lacks the list `{self.where}.{names[0]}`")
        return self.objects(*names)

    def need_text(self, *names: str) -> str:
        """A string without which nothing can be done."""
        value = self.text(*names)
        if not value:
            raise NetworkError(f"Civitai's answer lacks the text `{self.where}.{names[0]}`")
        return value

    def table(self, *names: str) -> Mapping[str, Any] | None:
        """An object as it is, for words that only people read."""
        value = self.value(*names)
        return value if isinstance(value, Mapping) else None

    def need_integer(self, *names: str) -> int:
        """A whole number without which nothing can be done."""
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

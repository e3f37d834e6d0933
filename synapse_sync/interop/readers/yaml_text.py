"""A bounded reader of YAML: mappings, lists and texts, and nothing that a document could do with more. Pure.

PyYAML's parser yields events; the values are made here. Anchors, aliases and tags are refused, so a document is
never larger than its text. Each scalar stays the text that it is: `no`, `1e3` and dates are not converted.
"""

from __future__ import annotations

from typing import Any

from synapse_sync.errors import InputError

#: The depth and the number of values of the lists in use are 6 and a few thousand.
DEPTH, VALUES = 32, 500_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def read_yaml(text: str) -> Any:
    """Read the first document of a text: dicts, lists, texts, and None for an empty scalar.

    Raises `InputError` for a text that is not YAML, for anchors, aliases and tags, and for a key twice. The limits
    are `DEPTH` levels and `VALUES` values; beyond them, it raises the same.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    values = _Values()
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentEndEvent):
                break
            values.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise InputError(f"it is not valid YAML{where}") from None
    return values.whole


class _Values:
    """The values that a row of events describes."""

    def __init__(self) -> None:
        self.whole: Any = None
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []
        self._count = 0

    def take(self, event: Any) -> None:
        """Add one event; raises `InputError`."""
        kind = type(event).__name__
        if kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._open.pop()
            self._keys.pop()
        elif kind in ("ScalarEvent", "MappingStartEvent", "SequenceStartEvent", "AliasEvent"):
            self._check(event, kind)
            if kind == "ScalarEvent":
                self._put(None if event.style is None and event.value in _NULLS else event.value)
                return
            value: dict[str, Any] | list[Any] = {} if kind == "MappingStartEvent" else []
            self._put(value)
            self._open.append(value)
            self._keys.append(None)

    def _check(self, event: Any, kind: str) -> None:
        self._count += 1
        if kind == "AliasEvent" or event.anchor is not None:
            raise InputError(f"line {event.start_mark.line + 1} has a YAML anchor or alias, which is not read")
        if event.tag is not None:
            raise InputError(f"line {event.start_mark.line + 1} has a YAML tag, which is not read")
        if len(self._open) >= DEPTH or self._count > VALUES:
            raise InputError("its YAML has more levels or values than any list of models")

    def _put(self, value: Any) -> None:
        """Put a value to its place: the whole, an item, a key, or the value of a key."""
        if not self._open:
            self.whole = value
            return
        above = self._open[-1]
        if isinstance(above, list):
            above.append(value)
        elif self._keys[-1] is None:
            if isinstance(value, dict | list):
                raise InputError("a key of its YAML is not a text")
            key = "" if value is None else value
            if key in above:
                raise InputError("a key of its YAML is defined twice")
            self._keys[-1] = key
        else:
            above[self._keys[-1]] = value
            self._keys[-1] = None

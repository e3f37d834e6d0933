"""Alike: models of a manifest that say the same as one that was read already, but for what is their own. Pure.

Most of ten thousand entries differ in name and location alone. The first of a kind is read thoroughly, and the
others are made like it, in a third of the time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from functools import partial

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import maker
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.names import SafePath, is_plain_name
from synapse_sync.core.reference import Reference
from synapse_sync.core.unseen import is_plain_line
from synapse_sync.errors import InvalidReference

#: The keys whose values nearly every model has for itself; each is a text.
_OWN = frozenset({"source", "sha256", "filename", "origin"})
_FIELDS = tuple(field.name for field in dataclasses.fields(Requirement) if field.init)
_make = maker(Requirement)


class Alike:
    """The models that were read so far, by all that they say about other things than themselves."""

    def __init__(self) -> None:
        self._makers: dict[Hashable, Callable[..., Requirement]] = {}

    def note(self, value: object, found: Requirement) -> None:
        """Note a model that was read thoroughly and without a mistake; `value` is its value in the manifest."""
        if (rest := _rest(value)) is not None and rest not in self._makers:
            self._makers[rest] = partial(_make, **{name: getattr(found, name) for name in _FIELDS})

    def made(self, name: str, value: object) -> Requirement | None:
        """A model with this name that is like a noted one; None for one that has to be read thoroughly."""
        rest = _rest(value)
        maker = None if rest is None else self._makers.get(rest)
        if maker is None:
            return None
        try:
            if isinstance(value, str):
                return maker(name=name, reference=Reference.parse(value))
            own = _own(value) if isinstance(value, dict) else None
            return None if own is None else maker(name=name, **own)
        except InvalidReference:
            return None


def _rest(value: object) -> Hashable | None:
    """All that an entry says but for its own values; None for one that says more than texts and lists of texts.

    Hazard: numbers are left out, since Python takes `1` and `true` for the same key of a mapping.
    """
    if isinstance(value, str):
        return ()
    if not isinstance(value, dict) or "source" not in value:
        return None
    found: list[tuple[str, Hashable]] = []
    for key, item in value.items():
        if isinstance(item, list) and all(isinstance(one, str) for one in item):
            found.append((key, tuple(item)))
        elif not isinstance(item, str):
            return None
        else:
            found.append((key, "" if key in _OWN else item))
    return tuple(found)


def _own(table: Mapping[str, str]) -> dict[str, object] | None:
    """The values that a model has for itself; None for one that is not plainly right."""
    found: dict[str, object] = {"reference": Reference.parse(table["source"])}
    if "sha256" in table:
        if not is_sha256(table["sha256"]):
            return None
        found["sha256"] = table["sha256"]
    if "filename" in table:
        if not is_plain_name(table["filename"]):
            return None
        found["filename"] = SafePath(table["filename"])
    if "origin" in table:
        if not is_plain_line(table["origin"]):
            return None
        found["origin"] = table["origin"]
    return found

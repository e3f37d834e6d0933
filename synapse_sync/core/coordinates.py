"""Coordinates: the parts of a reference, as the readers of its forms return them."""

from __future__ import annotations

from typing import NamedTuple


class Coordinates(NamedTuple):
    """The parts of a reference, checked and in canonical form; see `Reference` for their meaning."""

    source: str
    id: str
    revision: str | None = None
    file: str | None = None
    query: tuple[tuple[str, str], ...] = ()

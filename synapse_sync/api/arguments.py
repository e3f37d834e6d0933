"""Arguments: texts, paths and dates as people pass them, as the values that synapse works with."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias

from synapse_sync.core.instant import parse_cutoff
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError

#: A path: a text or a path object.
StrPath: TypeAlias = str | os.PathLike[str]
#: One name, or several.
Names: TypeAlias = str | Iterable[str]
#: A reference: a text in any of its forms, a `Reference`, or the path of a local file.
ReferenceLike: TypeAlias = str | Reference | os.PathLike[str]


def names_of(value: Names) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)


def reference_of(value: ReferenceLike, project: Path) -> Reference:
    """Return the reference that a value means; raises `InvalidReference`.

    A path object is a local file, relative to the working directory; inside `project` it is written relative to it.
    """
    if isinstance(value, Reference):
        return value
    if isinstance(value, str):
        return Reference.parse_new(value)
    path = Path(os.path.abspath(value))  # noqa: PTH100 - a link in the path stays what it is
    if path.is_relative_to(project):
        return Reference.parse(f"./{path.relative_to(project).as_posix()}")
    return Reference.parse(path.as_posix())


def cutoff_of(value: datetime | date | str | None) -> datetime | None:
    """Return the end of a day or an instant, in UTC; a time without a zone is in UTC. Raises `InputError`."""
    if value is None:
        return None
    try:
        return parse_cutoff(value if isinstance(value, str) else value.isoformat())
    except ValueError as error:
        raise InputError(f"exclude_newer: {error}") from None


def link_mode_of(value: LinkMode | str | None) -> LinkMode | None:
    """Return the link mode of this name; raises `InputError` with the nearest one."""
    if value is None:
        return None
    try:
        return LinkMode(value)
    except ValueError:
        hint = suggestion(value, map(str, LinkMode))
        raise InputError(f"link_mode: `{value}` is not a link mode", hint=hint) from None

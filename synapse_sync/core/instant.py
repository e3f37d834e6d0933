"""Instants: dates and times as text, read and written in one place; inside they are `datetime`s in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

#: A time in UTC as sites write it; the fraction of a second is kept as it is.
_UTC = r"\s*(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|[+-]00:?00)?\s*"
#: A day without a time is written with at most this many characters.
_DAY = len("2026-01-31")


def parse_instant(text: str | None) -> datetime | None:
    """Read a time of a site; without a zone it is in UTC. None for None and for texts that are no time.

    Years at the ends of the calendar are placeholders, with which nothing can be computed: None, too.
    """
    try:
        moment = _in_utc(datetime.fromisoformat((text or "").strip()))
    except (ValueError, OverflowError):
        return None
    return moment if 1 < moment.year < 9000 else None


def parse_cutoff(text: str) -> datetime | None:
    """Read a value of `exclude-newer`, a day or a time, in whole seconds; a day includes all its hours.

    Returns None after the end of the calendar, which excludes nothing. Raises `ValueError`, in words for a person.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"`{text}` is not a date like 2026-01-31") from None
    try:
        if len(text) <= _DAY:
            moment += timedelta(days=1)
        return _in_utc(moment).replace(microsecond=0)
    except OverflowError:
        return None


def instant_text(moment: datetime) -> str:
    """Write a time as ISO 8601 in UTC, as `2026-01-31T00:00:00Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def utc_text(text: str | None) -> str | None:
    """Write a site's time as ISO 8601 in UTC, with its own fraction of a second; None if it is no time."""
    moment = parse_instant(text)
    if moment is None or text is None:
        return None
    bare = re.fullmatch(_UTC, text)
    return f"{bare[1]}T{bare[2]}Z" if bare else instant_text(moment)


def is_older(text: str | None, other: str | None) -> bool:
    """Whether the first of two times of sites is the earlier one; False where one of them is unknown."""
    one, two = parse_instant(text), parse_instant(other)
    return one is not None and two is not None and one < two


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

"""Instants: days, times and zones as people and sites write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from synapse_sync.core.instant import instant_text, is_older, parse_cutoff, parse_instant, utc_text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("20260131", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-01-31T00:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00.75Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T01:00:00+02:00", datetime(2026, 1, 30, 23, tzinfo=UTC)),
        ("0001-01-01", datetime(1, 1, 2, tzinfo=UTC)),
        ("9999-12-31", None),
        ("9999-12-31T23:59:59-01:00", None),
    ],
)
def test_a_cutoff_is_a_day_with_all_its_hours_or_a_time(text: str, moment: datetime | None) -> None:
    assert parse_cutoff(text) == moment


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "2026-1-1", "now"])
def test_a_cutoff_that_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_cutoff(text)


@pytest.mark.parametrize("text", [None, "", "soon", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_placeholders_of_sites_are_no_times(text: str | None) -> None:
    assert parse_instant(text) is None
    assert utc_text(text) is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2023-04-28T19:32:30.819", "2023-04-28T19:32:30.819Z"),
        ("2023-04-28T19:32:30.819Z", "2023-04-28T19:32:30.819Z"),
        ("2023-04-28 19:32:30+00:00", "2023-04-28T19:32:30Z"),
        ("2023-04-28T19:32:30+02:00", "2023-04-28T17:32:30Z"),
        (" 2023-04-28T19:32:30.123456-01:30", "2023-04-28T21:02:30.123456Z"),
    ],
)
def test_times_of_sites_get_one_zone_and_keep_their_fraction(text: str, written: str) -> None:
    assert utc_text(text) == written
    assert parse_instant(written) == parse_instant(text)


def test_times_are_compared_as_times() -> None:
    assert is_older("2023-04-28T19:00:00+02:00", "2023-04-28T18:00:00Z")  # not so by their letters
    assert is_older("2023-04-28T18:00:00Z", "2023-04-28T18:00:00.5Z")
    assert not is_older("2023-04-28T18:00:00Z", "2023-04-28T18:00:00Z")
    assert not is_older(None, "2023-04-28T18:00:00Z")
    assert not is_older("2023-04-28T18:00:00Z", "soon")


def test_an_instant_is_written_in_utc() -> None:
    assert instant_text(datetime.fromisoformat("2026-02-01T01:00:00+02:00")) == "2026-01-31T23:00:00Z"
    assert instant_text(datetime(2026, 1, 1, 0, 0, 0, 5000, tzinfo=UTC)) == "2026-01-01T00:00:00.005000Z"

"""Modes and times that follow from the lockfile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.look import UNDATED, Looks, folder_time, is_decided, whole_second

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
SECOND = 1_000_000_000


def looks(published: str | None, latest: int | None = None) -> Looks:
    return Looks(published={"m": published}, latest=latest)


@pytest.mark.parametrize(
    ("published", "latest", "second"),
    [
        ("2001-09-09T01:46:40Z", None, 1_000_000_000),
        ("2001-09-09T03:46:40.999+02:00", None, 1_000_000_000),
        ("2001-09-09T01:46:40Z", 5, 5),
        ("2001-09-09T01:46:40Z", 2_000_000_000, 1_000_000_000),
        (None, None, UNDATED),
        (None, 7, 7),
        ("soon", None, UNDATED),
        ("1950-01-01T00:00:00Z", None, 0),
        ("8999-01-01T00:00:00Z", None, 1 << 33),
        (None, 10**14, 1 << 33),
    ],
)
def test_the_second_is_that_of_the_publication(published: str | None, latest: int | None, second: int) -> None:
    assert looks(published, latest).second("m") == second


def test_a_model_that_is_not_locked_has_no_date() -> None:
    assert Looks().second("m") == UNDATED


@given(DIGESTS)
def test_archives_keep_the_second_whether_they_round_or_cut_off(sha256: str) -> None:
    time = looks(None).of_file("m", sha256).mtime_ns
    assert whole_second(time) == UNDATED * SECOND == round(time / SECOND) * SECOND
    assert time % 100 == 0 and time % SECOND, "NTFS can keep it, and it is not lost where seconds are kept"
    assert is_decided(time, sha256) and not is_decided(whole_second(time), sha256)


@given(DIGESTS, DIGESTS)
def test_other_bytes_have_another_time(one: str, other: str) -> None:
    same = looks(None).of_file("m", one) == looks(None).of_file("m", other)
    assert same == (int(one[:12], 16) % 4_999_999 == int(other[:12], 16) % 4_999_999)


def test_a_directory_has_the_second_of_its_latest_file_and_a_time_of_its_listing() -> None:
    times = [5 * SECOND + 100, 7 * SECOND + 300]
    assert whole_second(folder_time(times, ["a"])) == 7 * SECOND
    assert folder_time(times, ["a", "b"]) == folder_time(times, ["b", "a"]) != folder_time(times, ["a"])

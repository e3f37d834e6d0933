"""Parts of the work: together they are all of it, and no two overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.shard import WHOLE, Shard, parse_shard

KEYS = st.sets(st.text(max_size=12) | st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=40)


@given(KEYS, st.integers(1, 9))
def test_the_parts_cover_all_and_are_disjoint(keys: set[str], count: int) -> None:
    parts = [{key for key in keys if Shard(number, count).has(key)} for number in range(1, count + 1)]
    assert set().union(*parts) == keys
    assert sum(map(len, parts)) == len(keys)


@given(KEYS)
def test_the_whole_has_everything(keys: set[str]) -> None:
    assert all(WHOLE.has(key) for key in keys)


def test_the_parts_are_about_equal_and_never_move() -> None:
    keys = [f"{number:064x}" for number in range(10_000)]
    sizes = [sum(Shard(number, 4).has(key) for key in keys) for number in range(1, 5)]
    assert all(2_300 < size < 2_700 for size in sizes)
    assert [Shard(number, 4).has("a") for number in range(1, 5)] == [False, False, True, False], "for ever"


@given(st.integers(1, 1_000_000), st.integers(1, 1_000_000))
def test_a_part_is_read_as_it_is_written(number: int, count: int) -> None:
    if number <= count:
        assert parse_shard(str(Shard(number, count))) == Shard(number, count)
    else:
        with pytest.raises(ValueError, match="the parts of"):
            parse_shard(f"{number}/{count}")


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/4", "a/b", "1/99999999", "١/٤"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="`"):
        parse_shard(text)

"""The long tests begin, in equal shares, whatever the number of workers; none is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from order import LONG, long_first

HERE = Path(__file__).parent


@pytest.mark.parametrize("begins", LONG)
def test_every_row_names_a_test(begins: str) -> None:
    file, _, name = begins.partition("::")
    text = (HERE.parent / file).read_text("utf-8")
    assert not name or re.search(rf"^def {name}", text, re.MULTILINE)


@pytest.mark.parametrize("count", [0, 1, 7, 100, 1_001])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_each_part_begins_with_its_share(count: int, parts: int) -> None:
    tests = [f"{LONG[0]}[{n}]" if n % 9 == 8 else f"tests/test_short.py::test_{n}" for n in range(count)]
    found = long_first(tests, parts, str)
    assert sorted(found) == sorted(tests)
    shares = []
    rest = list(found)
    for part in range(parts):  # as xdist cuts them
        size = len(rest) // (parts - part)
        lengths = [name.startswith(LONG) for name in rest[:size]]
        assert lengths == sorted(lengths, reverse=True), "the long ones come first"
        shares.append(sum(lengths))
        del rest[:size]
    assert count < 100 or max(shares) - min(shares) <= 1


def test_the_others_stay_in_their_order() -> None:
    tests = ["b", f"{LONG[0]}[2]", "a", f"{LONG[0]}[1]", "c"]
    assert long_first(tests, 1, str) == [f"{LONG[0]}[2]", f"{LONG[0]}[1]", "b", "a", "c"]

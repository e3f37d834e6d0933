"""The order of the tests among several workers: the long ones begin, or one worker would be alone with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

#: Tests that last from some seconds to a minute, by the beginning of their names; all others last a second or less.
LONG = (
    "tests/black_box/test_growth.py::test_steps_are_in_proportion",
    "tests/black_box/test_histories.py",
    "tests/core/weights/test_header.py::test_hostile_names_cost_little",
    "tests/demo/test_serve.py::test_a_shell",
    "tests/engine/test_absent.py::test_status_says_what_sync_does",
    "tests/faults/test_sweep.py::test_a_file_that_becomes_a_link",
    "tests/faults/test_sweep.py::test_a_sync_whose_receipt_has_a_log",
    "tests/faults/test_sweep.py::test_the_sweep_notices",
    "tests/faults/test_sweep.py::test_whatever_happens",
    "tests/transfer/test_crashes.py::test_killed",
)
T = TypeVar("T")


def long_first(tests: Sequence[T], parts: int, name: Callable[[T], str]) -> list[T]:
    """Return the tests in the order in which each part, as xdist cuts them, begins with its share of the long ones.

    `parts` is the number of workers: each receives as many tests as the others, in their order. One that has no
    test left takes over half of those that another one still has, from the end. `name` returns the name of a test.
    """
    long = [test for test in tests if name(test).startswith(LONG)]
    others = [test for test in tests if not name(test).startswith(LONG)]
    found: list[T] = []
    for part in range(parts):
        share = long[part::parts]
        room = max(0, (len(tests) - len(found)) // (parts - part) - len(share))
        found += share + others[:room]
        del others[:room]
    return found + others

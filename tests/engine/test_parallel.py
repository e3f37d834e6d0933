"""One function for many items: each is done once, in threads as well as alone."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.engine.parallel import readers, threads

WORKERS = st.integers(1, 4)


@given(st.lists(st.integers(), max_size=30), WORKERS)
def test_each_item_is_done_once(items: list[int], workers: int) -> None:
    done: list[int] = []
    lock = threading.Lock()

    def do(item: int) -> int:
        with lock:
            done.append(item)
        return item + 1

    assert sorted(threads(workers)(do, items)) == sorted((item, item + 1) for item in items)
    assert sorted(done) == sorted(items)


@given(WORKERS)
def test_the_first_error_is_raised(workers: int) -> None:
    def do(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        list(threads(workers)(do, range(10)))


def test_work_overlaps_and_ends_with_its_reader() -> None:
    together, left, done = threading.Barrier(2, timeout=10), threading.Event(), []

    def do(item: int) -> int:
        if item < 2:
            together.wait()  # nobody passes alone
        else:
            left.wait(10)
        done.append(item)
        return item

    for _ in threads(2)(do, range(10_000)):
        break
    left.set()
    for thread in threading.enumerate():
        if thread.name.startswith("each-"):
            thread.join(10)
    assert len(done) <= 4, "nobody asks for the rest, so it is not done"


def test_there_are_several_readers_unless_a_disk_turns() -> None:
    assert readers([]) >= 2

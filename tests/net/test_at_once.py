"""Several things at the same time: in order, bounded, and ended by the first failure."""

from __future__ import annotations

import threading
import time

import pytest

from synapse_sync.net.at_once import Coming, at_once, both


def test_they_overlap_and_keep_their_order() -> None:
    barrier = threading.Barrier(4)

    def wait(number: int) -> int:
        barrier.wait(10)
        return number * number

    assert at_once(wait, range(8), 4) == [number * number for number in range(8)]


def test_there_are_never_more_than_the_most() -> None:
    running, most, lock = 0, 0, threading.Lock()
    enough = threading.Barrier(3)

    def count(number: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        enough.wait(10)
        with lock:
            running -= 1

    at_once(count, range(9), 3)
    assert most == 3


def test_the_first_failure_is_raised_and_what_waits_is_not_begun() -> None:
    begun: list[int] = []

    def fail(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise KeyError(number)
        time.sleep(0.01)

    with pytest.raises(KeyError):
        at_once(fail, range(1000), 2)
    assert len(begun) < 1000


def test_those_at_work_are_halted_after_a_failure() -> None:
    halt = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            raise KeyError(number)
        assert halt.wait(10), "it was not told to end"

    with pytest.raises(KeyError):
        at_once(work, range(2), 2, halt.set)
    assert halt.is_set()


@pytest.mark.parametrize("items", [[], [3]])
def test_one_item_needs_no_thread(items: list[int]) -> None:
    thread = threading.current_thread()
    assert at_once(lambda item: (item, threading.current_thread()), items, 8) == [(item, thread) for item in items]
    assert at_once(lambda item: threading.current_thread(), [1, 2], 1) == [thread] * 2


def test_a_value_that_is_coming_is_waited_for_and_an_error_is_raised() -> None:
    gate = threading.Event()

    def make() -> str:
        gate.wait(5)
        return "made"

    def fail() -> str:
        raise OSError("no")

    coming = Coming(make, "test")
    gate.set()
    assert coming.wait() == "made"
    with pytest.raises(OSError, match="no"):
        Coming(fail, "test").wait()


@pytest.mark.parametrize("early", [True, False])
def test_a_value_that_nobody_waits_for_is_dropped_once(early: bool) -> None:
    gate, dropped, over = threading.Event(), [], threading.Event()

    def make() -> str:
        gate.wait(10)
        return "made"

    def drop(value: str) -> None:
        dropped.append(value)
        over.set()

    coming = Coming(make, "test")
    if not early:
        gate.set()
        coming.wait()
    coming.abandon(drop)
    gate.set()
    assert over.wait(10) and coming.wait() == "made"
    assert dropped == ["made"]


def test_two_different_things_overlap() -> None:
    barrier = threading.Barrier(2)
    assert both(lambda: barrier.wait(10) * 0 or "a", lambda: barrier.wait(10) * 0 + 2) == ("a", 2)


def test_of_two_failures_the_first_one_is_raised() -> None:
    def fail(error: Exception) -> None:
        time.sleep(0.01 * isinstance(error, KeyError))
        raise error

    with pytest.raises(KeyError):
        both(lambda: fail(KeyError()), lambda: fail(ValueError()))

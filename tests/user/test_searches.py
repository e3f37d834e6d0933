"""Searches for garbage are paused in a command only: in a program of somebody else all stays as it is."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from synapse_sync.user.searches import paused


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.enable()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.enable()


def test_a_command_has_no_search_inside_and_none_among_its_values() -> None:
    gc.set_threshold(50_000, 20, 20)
    with paused():
        assert not gc.isenabled()
        values = [[number] for number in range(1_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(values)


def test_an_error_ends_the_pause() -> None:
    gc.set_threshold(50_000, 20, 20)
    with pytest.raises(KeyError), paused():
        raise KeyError
    assert gc.isenabled()


def test_one_pause_inside_another_ends_with_the_outer_one() -> None:
    gc.set_threshold(50_000, 20, 20)
    with paused():
        with paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize("enabled", [True, False])
def test_a_program_keeps_its_searches(enabled: bool) -> None:
    gc.set_threshold(700, 10, 10)
    if not enabled:
        gc.disable()
    with paused():
        assert gc.isenabled() is enabled
    assert gc.isenabled() is enabled
    assert gc.get_freeze_count() == 0

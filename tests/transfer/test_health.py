from __future__ import annotations

from synapse_sync.core.host_speed import TELLING
from synapse_sync.transfer.health import Health


def test_fine_before_slow_before_failed() -> None:
    health = Health(slow=1.0)
    health.answered("quick", 0.2)
    health.answered("slow", 1.5)
    health.failed("dead")
    assert health.first(["dead", "slow", "quick", "new"]) == 2
    assert health.first(["dead", "slow"]) == 1
    assert health.has_failed("dead") and not health.has_failed("slow")


def test_a_delivery_ends_the_blame_but_slow_stays_slow() -> None:
    health = Health(slow=1.0)
    health.failed("a")
    health.delivered("a")
    health.answered("b", 2.0)
    health.delivered("b")
    assert health.first(["b", "a"]) == 1


def test_slow_does_not_cover_up_a_failure() -> None:
    health = Health(slow=1.0)
    health.failed("a")
    health.answered("a", 2.0)
    assert health.has_failed("a")


def test_what_is_measured_counts_at_once_and_only_that_is_told() -> None:
    health = Health()
    health.measured("tiny", TELLING - 1, 1000.0)
    health.measured("dripping", TELLING, 100.0)
    health.measured("fast", 100 * TELLING, 1.0)
    assert health.first(["dripping", "fast"]) == 1
    assert health.first(["tiny", "fast"]) == 0
    later = Health(health.speeds)
    assert later.first(["dripping", "fast"]) == 1
    assert set(health.speeds) == {"dripping", "fast"} and later.speeds == {}


def test_one_that_missed_a_file_is_not_tried_for_its_speed() -> None:
    health = Health()
    health.measured("dripping", TELLING, 100.0)
    assert health.first(["dripping", "new"]) == 1
    health.missed("new")
    assert health.first(["dripping", "new"]) == 0

from __future__ import annotations

from synapse_sync.engine.health import Health


def test_fine_before_slow_before_failed() -> None:
    health = Health(slow=1.0)
    health.answered("quick", 0.2)
    health.answered("slow", 1.5)
    health.failed("dead")
    assert sorted(["dead", "slow", "quick", "new"], key=health.rank) == ["quick", "new", "slow", "dead"]
    assert health.has_failed("dead") and not health.has_failed("slow")


def test_a_delivery_ends_the_blame_but_slow_stays_slow() -> None:
    health = Health(slow=1.0)
    health.failed("a")
    health.delivered("a")
    health.answered("b", 2.0)
    health.delivered("b")
    assert health.rank("a") < health.rank("b")


def test_slow_does_not_cover_up_a_failure() -> None:
    health = Health(slow=1.0)
    health.failed("a")
    health.answered("a", 2.0)
    assert health.has_failed("a")

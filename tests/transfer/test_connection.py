from __future__ import annotations

from synapse_sync.transfer.connection import Connection, speed_and_share


def test_the_speed_of_a_connection_is_that_of_its_last_piece_else_so_far() -> None:
    one = Connection(begun=0.0)
    assert one.speed(5.0) == 0.0
    one.answered, one.received = 1.0, 400
    assert one.speed(5.0) == 100.0
    one.rate = 70.0
    assert one.speed(5.0) == 70.0


def test_a_connection_of_unknown_speed_counts_as_the_average() -> None:
    fast, slow, new = Connection(begun=0.0, rate=90.0), Connection(begun=0.0, rate=30.0), Connection(begun=0.0)
    them = [fast, slow, new]
    assert speed_and_share(fast, them, 1.0) == (90.0, 0.5)
    assert speed_and_share(slow, them, 1.0) == (30.0, 30 / 180)
    assert speed_and_share(new, them, 1.0) == (60.0, 60 / 180)
    assert speed_and_share(new, [new, Connection(begun=0.0)], 1.0) == (0.0, 0.5)

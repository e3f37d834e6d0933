from __future__ import annotations

import threading
from itertools import pairwise

from synapse_sync.transfer.pieces import Piece, Pieces

MIB = 1 << 20
#: As the least size of a piece: it is as large as it may be.
WHOLE = 8 * MIB


def pieces(size: int = 100 * MIB, **over: object) -> Pieces:
    return Pieces([(0, size)], **({"splits": True, "largest": 8 * MIB} | over))  # type: ignore[arg-type]


def span(piece: Piece | None) -> tuple[int, int] | None:
    return None if piece is None else (piece.at, piece.end)


def test_pieces_come_in_ascending_order_and_get_smaller_towards_the_end() -> None:
    all_of_them = pieces(40 * MIB)
    taken: list[tuple[int, int]] = []
    while (piece := all_of_them.take(4, 0.0)) is not None:
        taken.append((piece.at, piece.end))
    sizes = [end - start for start, end in taken]
    assert taken[0][0] == 0 and taken[-1][1] == 40 * MIB
    assert all(before[1] == after[0] for before, after in pairwise(taken))
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 5 * MIB and MIB in sizes


def test_a_piece_takes_at_least_as_long_as_its_answer_is_worth() -> None:
    assert span(pieces(8 * MIB).take(16, 0.0)) == (0, MIB)
    assert span(pieces(8 * MIB).take(16, 0.0, 3e6)) == (0, 3_000_000)
    assert span(pieces(80 * MIB).take(2, 0.0, 1e9)) == (0, 8 * MIB)


def test_without_parts_a_piece_is_a_whole_range() -> None:
    whole = Pieces([(5, 10), (20, 30)], splits=False, largest=2)
    first = whole.take(1, 0.0)
    assert first is not None and span(first) == (5, 10)
    assert span(whole.take(1, 0.0)) == (20, 30)
    assert whole.take_over(100.0, 1e6, 0.1) is None


def test_what_was_not_received_is_free_again() -> None:
    some = pieces(20 * MIB)
    first, second = some.take(1, 0.0, WHOLE), some.take(1, 0.0, WHOLE)
    assert first is not None and second is not None
    first.at += 100
    some.hand_back(first)
    assert span(some.take(1, 0.0, WHOLE)) == (100, 8 * MIB)
    second.at = second.end
    some.hand_back(second)
    assert not some.done and some.worth == 4


def test_the_rest_of_a_slow_piece_is_shared_so_that_both_parts_end_together() -> None:
    some = pieces(8 * MIB)
    slow = some.take(1, 0.0, WHOLE)
    assert slow is not None and some.take(1, 0.0, WHOLE) is None
    slow.at = slow.reach = 2 * MIB  # a MiB a second
    assert some.take_over(0.1, 4.0 * MIB, 0.1) is None, "it may still wait for its answer"
    part = some.take_over(2.0, 2.0 * MIB, 0.0)
    assert part is not None
    assert (slow.end, part.at, part.end) == (4 * MIB, 4 * MIB, 8 * MIB)
    assert part.rate(2.0) == 0.0


def test_bytes_that_may_be_read_right_now_are_not_shared() -> None:
    some = pieces(8 * MIB)
    slow = some.take(1, 0.0, WHOLE)
    assert slow is not None
    slow.at = MIB
    assert some.reach(slow, 6 * MIB, 1.0) == 6 * MIB
    part = some.take_over(10.0, 100.0 * MIB, 0.0)
    assert part is not None and part.at == 7 * MIB == slow.end
    assert some.reach(slow, 9 * MIB, 1.0) == 6 * MIB
    assert some.take_over(10.0, 100.0 * MIB, 0.1) is None


def test_what_would_not_be_sooner_is_left_to_its_connection() -> None:
    some = pieces(8 * MIB)
    piece = some.take(1, 0.0, WHOLE)
    assert piece is not None
    piece.at = piece.reach = 7 * MIB  # seven MiB a second: the rest takes a seventh of one
    assert some.take_over(1.0, 7.0 * MIB, 0.2) is None
    assert some.take_over(1.0, 7.0 * MIB, 0.0) is not None


def test_a_stalled_piece_is_noticed_once_no_other_is_left() -> None:
    some = pieces(16 * MIB)
    first = some.take(1, 0.0, WHOLE)
    assert first is not None and some.stalled(9.0, 1.0) is None
    second = some.take(1, 8.5, WHOLE)
    assert second is not None
    assert some.stalled(9.0, 1.0) is first
    some.reach(first, 1, 8.6)
    assert some.stalled(9.0, 1.0) is None and some.stalled(9.55, 1.0) is second


def test_the_range_behind_a_piece_is_for_a_connection_that_is_alone() -> None:
    some = pieces(20 * MIB)
    first, second = some.take(1, 0.0, WHOLE), some.take(1, 0.0, WHOLE)
    assert first is not None and second is not None
    assert some.alone(first) == 8 * MIB and some.alone(second) == 20 * MIB


def test_threads_get_every_byte_once() -> None:
    some = pieces(64 * MIB)
    seen: list[tuple[int, int]] = []

    def work() -> None:
        while True:
            piece = some.take(8, 0.0) or some.take_over(5.0, 1e6, 0.0)
            if piece is None:
                return
            begun = piece.at
            while (count := some.reach(piece, 70_000, 1.0)) > 0:
                piece.at += count
            seen.append((begun, piece.at))
            some.hand_back(piece)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert some.done
    at = 0
    for start, end in sorted(span for span in seen if span[0] < span[1]):
        assert start == at
        at = end
    assert at == 64 * MIB

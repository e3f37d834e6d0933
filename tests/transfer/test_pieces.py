from __future__ import annotations

import threading
from itertools import pairwise

from synapse_sync.transfer.pieces import Piece, Pieces

MIB = 1 << 20


def pieces(size: int = 100 * MIB, **over: object) -> Pieces:
    return Pieces([(0, size)], **({"splits": True, "largest": 8 * MIB} | over))  # type: ignore[arg-type]


def span(piece: Piece | None) -> tuple[int, int] | None:
    return None if piece is None else (piece.at, piece.end)


def test_pieces_come_in_ascending_order_and_get_smaller_towards_the_end() -> None:
    all_of_them = pieces(40 * MIB)
    taken: list[tuple[int, int]] = []
    while (piece := all_of_them.take(1 / 4, 0.0, 0.0, 0.0)) is not None:
        taken.append((piece.at, piece.end))
    sizes = [end - start for start, end in taken]
    assert taken[0][0] == 0 and taken[-1][1] == 40 * MIB
    assert all(before[1] == after[0] for before, after in pairwise(taken))
    assert sizes == sorted(sizes, reverse=True) and sizes[:3] == [8 * MIB, 8 * MIB, 6 * MIB] and MIB in sizes


def test_a_piece_takes_much_longer_than_its_answer() -> None:
    assert span(pieces(8 * MIB).take(1 / 16, 0.0, 0.0, 0.0)) == (0, MIB)
    assert span(pieces(8 * MIB).take(1 / 16, 1e7, 0.1, 0.0)) == (0, 3_000_000)
    assert span(pieces(80 * MIB).take(1 / 2, 1e7, 0.1, 0.0)) == (0, 16_000_000)
    assert span(pieces(80 * MIB).take(1 / 2, 1e9, 1.0, 0.0)) == (0, 16 * MIB)


def test_without_parts_a_piece_is_a_whole_range() -> None:
    whole = Pieces([(5, 10), (20, 30)], splits=False, largest=2)
    first = whole.take(1.0, 0.0, 0.0, 0.0)
    assert first is not None and span(first) == (5, 10)
    assert span(whole.take(1.0, 0.0, 0.0, 0.0)) == (20, 30)
    assert whole.take(1.0, 1e6, 0.1, 100.0) is None


def test_what_was_not_received_is_free_again() -> None:
    some = pieces(20 * MIB)
    first, second = some.take(1.0, 0.0, 0.0, 0.0), some.take(1.0, 0.0, 0.0, 0.0)
    assert first is not None and second is not None
    first.at += 100
    some.hand_back(first)
    assert span(some.take(1.0, 0.0, 0.0, 0.0)) == (100, 8 * MIB)
    second.at = second.end
    some.hand_back(second)
    assert not some.done and some.worth == 4


def test_the_rest_of_a_slow_piece_is_shared_so_that_both_parts_end_together() -> None:
    some = pieces(8 * MIB)
    slow = some.take(1.0, 0.0, 0.0, 0.0)
    assert slow is not None and some.take(1.0, 0.0, 0.0, 0.0) is None
    slow.at = slow.reach = 2 * MIB  # a MiB a second
    assert some.take(1.0, 4.0 * MIB, 0.1, 0.1) is None, "it may still wait for its answer"
    part = some.take(1.0, 2.0 * MIB, 0.0, 2.0)
    assert part is not None
    assert (slow.end, part.at, part.end) == (4 * MIB, 4 * MIB, 8 * MIB)
    assert part.rate(2.0) == 0.0


def test_bytes_that_may_be_read_right_now_are_not_shared() -> None:
    some = pieces(8 * MIB)
    slow = some.take(1.0, 0.0, 0.0, 0.0)
    assert slow is not None
    slow.at = MIB
    assert some.reach(slow, 6 * MIB, 1.0) == 6 * MIB
    part = some.take(1.0, 100.0 * MIB, 0.0, 10.0)
    assert part is not None and part.at == 7 * MIB == slow.end
    assert some.reach(slow, 9 * MIB, 1.0) == 6 * MIB
    assert some.take(1.0, 100.0 * MIB, 0.1, 10.0) is None


def test_what_would_not_be_sooner_is_left_to_its_connection() -> None:
    some = pieces(8 * MIB)
    piece = some.take(1.0, 0.0, 0.0, 0.0)
    assert piece is not None
    piece.at = piece.reach = 7 * MIB  # seven MiB a second: the rest takes a seventh of one
    assert some.take(1.0, 7.0 * MIB, 0.2, 1.0) is None
    assert some.take(1.0, 7.0 * MIB, 0.0, 1.0) is not None


def test_a_late_piece_is_shared_before_one_behind_it_is_begun() -> None:
    some = pieces(100 * MIB)
    first, second = some.take(1.0, 0.0, 0.0, 0.0), some.take(1.0, 0.0, 0.0, 0.0)
    assert first is not None and second is not None
    first.at = first.reach = MIB  # one MiB a second, so seven seconds are left; a new piece takes one
    second.at = second.reach = 15 * MIB
    part = some.take(1.0, 8.0 * MIB, 0.0, 1.0)
    assert part is not None and first.end == part.at < part.end == 8 * MIB
    assert abs((first.end - first.at) * 8 - (part.end - part.at)) <= 8
    part.at = part.end - 1
    assert span(some.take(1.0, 8.0 * MIB, 0.0, 2.0)) == (16 * MIB, 24 * MIB)


def test_a_piece_that_is_late_by_little_keeps_its_connection() -> None:
    some = pieces(100 * MIB)
    first = some.take(1.0, 0.0, 0.0, 0.0)
    assert first is not None
    first.at = first.reach = 2 * MIB  # three seconds are left
    assert span(some.take(1.0, 8.0 * MIB, 0.0, 1.0)) == (8 * MIB, 16 * MIB)


def test_a_piece_without_a_byte_may_wait_for_a_new_connection() -> None:
    some = pieces(8 * MIB)
    piece = some.take(1.0, 0.0, 0.0, 0.0)
    assert piece is not None
    assert some.take(1.0, 8.0 * MIB, 0.1, 0.99) is None
    assert some.take(1.0, 8.0 * MIB, 0.2, 1.5) is None
    whole = some.take(1.0, 8.0 * MIB, 0.1, 1.0)
    assert whole is not None and span(whole) == (0, 8 * MIB) and span(piece) == (0, 0)
    assert some.reach(piece, MIB, 1.0) == 0
    assert some.wanted(piece, alone=False) is None, "a request for no byte is an error to a server"
    some.hand_back(piece)
    assert some.take(1.0, 0.0, 0.1, 1.0) is None and not some.done
    whole.at = whole.end
    some.hand_back(whole)
    assert some.done


def test_a_slow_connection_gets_smaller_pieces() -> None:
    assert span(pieces(40 * MIB).take(0.05, 0.0, 0.0, 0.0)) == (0, 2 * MIB)


def test_a_stalled_piece_is_noticed_once_no_other_is_left() -> None:
    some = pieces(16 * MIB)
    first = some.take(1.0, 0.0, 0.0, 0.0)
    assert first is not None and some.stalled(9.0, 1.0) is None
    second = some.take(1.0, 0.0, 0.0, 8.5)
    assert second is not None
    assert some.stalled(9.0, 1.0) is first
    some.reach(first, 1, 8.6)
    assert some.stalled(9.0, 1.0) is None and some.stalled(9.55, 1.0) is second


def test_the_range_behind_a_piece_is_for_a_connection_that_is_alone() -> None:
    some = pieces(20 * MIB)
    first, second = some.take(1.0, 0.0, 0.0, 0.0), some.take(1.0, 0.0, 0.0, 0.0)
    assert first is not None and second is not None
    assert some.wanted(first, alone=True) == (0, 8 * MIB)
    assert some.wanted(second, alone=True) == (8 * MIB, 20 * MIB)
    assert some.wanted(second, alone=False) == (8 * MIB, 16 * MIB)


def test_threads_get_every_byte_once() -> None:
    some = pieces(64 * MIB)
    seen: list[tuple[int, int]] = []

    def work() -> None:
        while True:
            piece = some.take(1 / 8, 1e6, 0.0, 5.0)
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


def moved(some: Pieces, piece: Piece, rate: float, *, until: float, step: float = 0.125) -> None:
    """Let a piece receive bytes at a rate from its last read to a moment."""
    now = piece.moved
    while now < until:
        now += step
        piece.at += int(rate * step)
        some.reach(piece, 1, now)


def test_the_rate_of_a_piece_is_that_of_the_last_moments() -> None:
    some = pieces(80 * MIB)
    piece = some.take(1.0, 0.0, 0.0, 0.0)
    assert piece is not None
    moved(some, piece, 0.1 * MIB, until=2.0)
    moved(some, piece, 4.0 * MIB, until=3.0)
    assert abs(piece.rate(3.0) - 4 * MIB) < 0.01 * MIB
    assert piece.rate(4.0) < MIB / 2, "and it falls while nothing arrives"


def test_a_connection_that_is_new_and_still_slow_keeps_its_piece() -> None:
    """It was answered after half a second, and needs some round trips to get fast."""
    some = pieces(100 * MIB)
    young, other = some.take(1.0, 0.0, 0.0, 0.0), some.take(1.0, 0.0, 0.0, 0.0)
    assert young is not None and other is not None
    young.moved = 0.5
    other.at = other.end
    some.hand_back(other)
    moved(some, young, 0.2 * MIB, until=1.5)
    fresh = some.take(1.0, 8.0 * MIB, 0.1, 1.5)
    assert fresh is not None and fresh.at == 16 * MIB
    moved(some, young, 0.2 * MIB, until=2.25)  # by now it is simply slow
    assert (part := some.take(1.0, 8.0 * MIB, 0.1, 2.25)) is not None and part.end == 8 * MIB


def test_little_time_is_not_worth_a_connection() -> None:
    some = pieces(8 * MIB)
    piece = some.take(1.0, 0.0, 0.0, 0.0)
    assert piece is not None
    piece.at = piece.reach = 4 * MIB  # one second is left
    assert some.take(1.0, 4.0 * MIB, 0.6, 1.0) is None
    assert some.take(1.0, 4.0 * MIB, 0.2, 1.0) is not None


def test_beside_other_files_only_a_very_late_piece_is_shared() -> None:
    some = pieces(16 * MIB)
    piece, other = some.take(0.5, 0.0, 0.0, 0.0), some.take(1.0, 0.0, 0.0, 0.0)
    assert piece is not None and other is not None
    other.at = other.end
    some.hand_back(other)
    piece.at = piece.reach = 2 * MIB
    assert some.take(1.0, 2.0 * MIB, 0.1, 1.0, beside_others=True) is None  # three seconds are left
    piece.at = piece.reach = 512 << 10
    assert some.take(1.0, 2.0 * MIB, 0.1, 1.0, beside_others=True) is not None  # fifteen


def test_a_new_connection_is_not_opened_for_the_last_moments() -> None:
    some = pieces(17 * MIB)
    piece = some.take(0.5, 0.0, 0.0, 0.0)
    assert piece is not None
    moved(some, piece, 4.0 * MIB, until=1.0)  # thirteen MiB are left, for three seconds
    assert some.take(0.5, 4.0 * MIB, 1.2, 1.0, is_new=True) is None
    assert some.take(0.5, 4.0 * MIB, 0.5, 1.0, is_new=True) is not None


def test_the_first_piece_is_large_since_its_stream_goes_on_anyway() -> None:
    assert span(pieces(400 * MIB).first(1 / 16, 0.0, 1.0)) == (0, 32 * MIB)
    assert span(pieces(100 * MIB).first(1 / 4, 0.0, 1.0)) == (0, 32 * MIB)
    assert span(pieces(40 * MIB).first(1 / 16, 0.0, 1.0)) == (0, 40 * MIB // 12)
    some = pieces(40 * MIB)
    first = some.first(1.0, 0.5, 1.0)
    assert first is not None and span(first) == (0, 40 * MIB // 3) and first.since == 0.5
    assert span(some.take(1.0, 0.0, 0.0, 1.0)) == (40 * MIB // 3, 40 * MIB // 3 + 8 * MIB)
    whole = Pieces([(5, 10)], splits=False, largest=2)
    assert span(whole.first(1.0, 0.0, 1.0)) == (5, 10) and whole.first(1.0, 0.0, 1.0) is None

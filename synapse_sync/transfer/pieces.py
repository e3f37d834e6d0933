"""Pieces: which connection receives which bytes of one file."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from synapse_sync.store.partials import Range

#: The smallest piece of a file (bytes); towards the end of a file, pieces get smaller down to this.
_LEAST = 1 << 20
#: Fewer bytes than this are not worth a request of their own.
_LEAST_HALF = 256 << 10


@dataclass(slots=True, eq=False)
class Piece:
    """The bytes that one thread receives, from `at` to before `end`. `at` moves; other threads may lower `end`.

    `reach` is how far the read under way may get, `moved` when it began. `first` is where the piece began, and
    `since` the moment; both moments are in seconds.
    """

    at: int
    end: int
    since: float = 0.0
    moved: float = 0.0
    reach: int = 0
    first: int = 0

    def rate(self, now: float) -> float:
        """The bytes per second since it was begun, the wait for the answer included."""
        return (self.at - self.first) / max(1e-3, now - self.since)

    def left(self, now: float) -> float:
        """The seconds until it is received, at its rate so far."""
        return (self.end - self.at) / max(1.0, self.rate(now))


class Pieces:
    """The bytes that are still to be received, and the pieces that threads work on. Safe to use from threads.

    `open` are the missing ranges, sorted. Pieces are taken in ascending order, `largest` bytes at most, so that the
    hash can follow closely. Without `splits`, a piece is a whole range. `changed` is notified when a piece is
    handed back.
    """

    def __init__(self, missing: Iterable[Range], *, splits: bool, largest: int) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.splits = splits
        self._open = list(missing)
        self._taken: list[Piece] = []
        self._largest = largest
        self._least = min(_LEAST, largest)

    @property
    def done(self) -> bool:
        """Whether nothing is missing, and nothing is being received."""
        with self.changed:
            return not self._open and not self._taken

    @property
    def worth(self) -> int:
        """The number of connections that would still find a piece."""
        with self.changed:
            return sum(end - start for start, end in self._open) // self._least

    def take(self, lanes: int, now: float, least: float = 0.0) -> Piece | None:
        """Return the next free piece, None if there is no more.

        `lanes` is the number of connections; towards the end their pieces get smaller. One of fewer than `least`
        bytes would take less time than the wait for its answer.
        """
        with self.changed:
            if not self._open:
                return None
            start, end = self._open[0]
            stop = end
            if self.splits:
                left = sum(end - start for start, end in self._open)
                fair = max(self._least, int(least), left // (2 * lanes))
                stop = min(end, start + min(self._largest, fair))
            if stop < end:
                self._open[0] = (stop, end)
            else:
                del self._open[0]
            return self._taken_up(start, stop, now)

    def take_over(self, now: float, rate: float, wait: float) -> Piece | None:
        """Take the second part of the piece that will be received last, so that both parts end together.

        `rate` is that of the connection which asks, in bytes per second, `wait` the seconds until it is answered.
        Returns None if that would not be sooner.
        """
        with self.changed:
            # A younger piece may still wait for its answer, so that its rate says nothing.
            known = [piece for piece in self._taken if now - piece.since >= 2 * wait]
            slowest = max(known, key=lambda piece: piece.left(now), default=None)
            if not self.splits or slowest is None:
                return None
            own = slowest.rate(now)
            left = slowest.end - slowest.at
            part = int(rate * (left - own * wait) / (rate + own)) if rate + own > 0 else 0
            # Race: its thread may be reading up to `reach` right now.
            part = min(part, slowest.end - max(slowest.at, slowest.reach))
            if part < min(_LEAST_HALF, self._least // 2):
                return None
            middle = slowest.end - part
            end, slowest.end = slowest.end, middle
            return self._taken_up(middle, end, now)

    def _taken_up(self, start: int, end: int, now: float) -> Piece:
        piece = Piece(start, end, since=now, moved=now, first=start)
        self._taken.append(piece)
        return piece

    def alone(self, piece: Piece) -> int:
        """Return the end of the free range that begins where a piece ends, else the end of the piece."""
        with self.changed:
            return self._open[0][1] if self._open and self._open[0][0] == piece.end else piece.end

    def reach(self, piece: Piece, most: int, now: float) -> int:
        """Note that up to `most` bytes of a piece are about to be read; return how many may be."""
        with self.changed:
            count = max(0, min(most, piece.end - piece.at))
            piece.reach, piece.moved = piece.at + count, now
            return count

    def stalled(self, now: float, after: float) -> Piece | None:
        """Return a piece of which nothing was received for `after` seconds, while no other one is left to take."""
        with self.changed:
            if self._open:
                return None
            return next((piece for piece in self._taken if now - piece.moved > after), None)

    def hand_back(self, piece: Piece) -> None:
        """Return a piece; its missing bytes become free for any thread."""
        with self.changed:
            self._taken.remove(piece)
            if piece.at < piece.end:
                self._open = sorted([*self._open, (piece.at, piece.end)])
            self.changed.notify_all()

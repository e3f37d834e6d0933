"""Pieces: which connection receives which bytes of one file."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from synapse_sync.store.partials import Range

#: The smallest piece of a file (bytes); towards the end of a file, pieces get smaller down to this.
_LEAST = 1 << 20
#: A connection idles while it waits for an answer. The last pieces take at least so many times as long, the others
#: the second number. None is larger than twice the usual size, since the hash follows in order.
_SHORTEST, _LONG, _LARGER = 3, 16, 2
#: The first piece is up to so many times the usual size; its connection is ahead of the others by so much, and gets
#: at most that part of the file.
_FIRST, _AHEAD, _PART = 4, 4 / 3, 1 / 3
#: A piece that still takes this many times as long as the next one, and so many seconds, is shared before that is
#: begun. It costs its connection, which gets more bytes than it may keep.
_LATE, _LATE_SECONDS = 4.0, 1.0
#: The seconds after which the rate of a piece says something.
_SOME = 0.25
#: A new connection gets faster with each round trip: its rate says something after so many times its first wait.
_SETTLING, _LONGEST_SETTLING = 2.0, 3.0
#: Fewer bytes than this are not worth a request of their own.
_LEAST_HALF = 256 << 10
#: A part is taken over only if the whole is then received within this share of the time: each such part costs its
#: connection, and the next one begins slowly.
_WORTH = 0.75
#: A new connection takes no piece if all others are done after so many times as long as its first answer takes.
_SOON = 3.0
#: While other files wait for connections, only a piece that still takes so many seconds is shared.
_LATE_BESIDE_OTHERS = 8.0


@dataclass(slots=True, eq=False)
class Piece:
    """The bytes that one thread receives, from `at` to before `end`. `at` moves; other threads may lower `end`.

    `reach` is how far the read under way may get, `moved` when it began. `first` is where the piece began, `since`
    the moment of its request, `came` that of its first bytes. `mark` and `marked` are where and when the present
    measurement began, `pace` is the result of the last one in bytes per second. All moments are in seconds.
    """

    at: int
    end: int
    since: float = 0.0
    moved: float = 0.0
    reach: int = 0
    first: int = 0
    came: float | None = None
    mark: int = 0
    marked: float = 0.0
    pace: float | None = None

    def measure(self, now: float) -> None:
        """Take note of how far it is."""
        if self.came is None:
            if self.at > self.first:
                self.came, self.mark, self.marked = now, self.at, now
        elif now - self.marked >= _SOME:
            self.pace = (self.at - self.mark) / (now - self.marked)
            self.mark, self.marked = self.at, now

    def rate(self, now: float) -> float:
        """The bytes per second of the last moments; before they are known, since its request."""
        if self.pace is None:
            return (self.at - self.first) / max(1e-3, now - self.since)
        if now - self.marked >= 2 * _SOME:  # no read has ended for long
            return min(self.pace, (self.at - self.mark) / (now - self.marked))
        return self.pace

    def is_known(self, now: float, wait: float) -> bool:
        """Whether its rate says something: some time after its answer, or long after its request without one."""
        if self.came is not None:
            settling = min(_LONGEST_SETTLING, _SETTLING * (self.came - self.since))
            return now - self.came >= max(_SOME, settling)
        if self.at > self.first:
            return now - self.since >= max(_SOME, 2 * wait)
        return now - self.since >= max(_LATE_SECONDS, 8 * wait)

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
        self.changed: threading.Condition = threading.Condition(threading.RLock())
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

    def first(self, share: float, began: float, now: float) -> Piece | None:
        """Return the piece of a stream that would go on to the end of the file, requested at the moment `began`.

        It is larger than others: at its end the stream is given up, and with it a connection at its best.
        """
        with self.changed:
            if not self._open or not self.splits:
                return self.take(share, 0.0, 0.0, now)
            start, end = self._open[0]
            left = sum(end - start for start, end in self._open)
            usual = max(self._least, min(self._largest, int(left * share)))
            large = min(_FIRST * self._largest, int(left * min(_AHEAD * share, _PART)))
            end = min(end, start + max(usual, large))
            self._open[:1] = [(end, self._open[0][1])] if end < self._open[0][1] else []
            piece = self._taken_up(start, end, now)
            piece.since = began
            return piece

    def take(
        self,
        share: float,
        rate: float,
        wait: float,
        now: float,
        *,
        is_new: bool = False,
        beside_others: bool = False,
    ) -> Piece | None:
        """Return the next piece for a connection; None if it would not be of use any more.

        `share` is its part of the rate of all, between 0 and 1, so that all pieces take about as long; towards the
        end they get smaller. `rate` is in bytes per second, `wait` the seconds until a request is answered.
        `is_new` says that the connection would have to be opened for it. With `beside_others`, other files have a
        use for the connection.
        """
        with self.changed:
            if is_new and self._soon(now, _SOON * wait):
                return None
            piece = self._free(share, rate * wait)
            if piece is None:
                return self._part_of_another(rate, wait, now, _LATE_BESIDE_OTHERS if beside_others else 0.0)
            # A piece that would be finished long after this one comes first: the hash waits for it.
            late = max(_LATE_SECONDS, _LATE * (piece[1] - piece[0]) / max(1.0, rate))
            if (part := self._part_of_another(rate, wait, now, late)) is not None:
                return part
            self._open[:1] = [(piece[1], self._open[0][1])] if piece[1] < self._open[0][1] else []
            return self._taken_up(*piece, now)

    def _soon(self, now: float, seconds: float) -> bool:
        """Whether the connections at work will have received everything by themselves within these seconds."""
        paces = [piece.rate(now) for piece in self._taken if piece.pace is not None]
        left = sum(end - start for start, end in self._open)
        left += sum(piece.end - piece.at for piece in self._taken)
        return bool(paces) and left < seconds * sum(paces)

    def _free(self, share: float, idle: float) -> Range | None:
        """The next free range; `idle` are the bytes that could be received during the wait for an answer."""
        if not self._open:
            return None
        start, end = self._open[0]
        if not self.splits:
            return start, end
        left = sum(end - start for start, end in self._open)
        fair = max(self._least, int(_SHORTEST * idle), int(left * share))
        most = min(_LARGER * self._largest, max(self._largest, int(_LONG * idle)))
        return start, min(end, start + min(most, fair))

    def _part_of_another(self, rate: float, wait: float, now: float, late: float = 0.0) -> Piece | None:
        """A part of the piece that will be finished last, if that is in more than `late` seconds."""
        known = [piece for piece in self._taken if piece.is_known(now, wait)]
        slowest = max(known, key=lambda piece: piece.left(now), default=None)
        if slowest is None or not self.splits or slowest.left(now) <= late:
            return None
        return self._part_of(slowest, rate, wait, now)

    def _part_of(self, piece: Piece, rate: float, wait: float, now: float) -> Piece | None:
        """Take over the second part of a piece, so that both parts end together; None if that is not sooner."""
        own = piece.rate(now)
        if rate + own <= 0:
            return None
        left = piece.end - piece.at
        part = int(rate * (left - own * wait) / (rate + own))
        if wait + part / max(1.0, rate) > _WORTH * left / max(1.0, own):
            return None
        # Race: its thread may be reading up to `reach` right now.
        part = min(part, piece.end - max(piece.at, piece.reach))
        if part < min(_LEAST_HALF, self._least // 2):
            return None
        middle = piece.end - part
        end, piece.end = piece.end, middle
        if piece.at == piece.end:  # its thread still waits for the answer, and finds that nothing is left
            self._taken.remove(piece)
        return self._taken_up(middle, end, now)

    def _taken_up(self, start: int, end: int, now: float) -> Piece:
        piece = Piece(start, end, since=now, moved=now, first=start)
        self._taken.append(piece)
        return piece

    def wanted(self, piece: Piece, *, alone: bool) -> Range | None:
        """Return the bytes to request for a piece; None if it has become empty: other threads have its bytes.

        A connection that is `alone` goes on to the end of the free range that begins where its piece ends.
        """
        with self.changed:
            if piece.at >= piece.end:
                return None
            goes_on = alone and self._open and self._open[0][0] == piece.end
            return piece.at, self._open[0][1] if goes_on else piece.end

    def reach(self, piece: Piece, most: int, now: float) -> int:
        """Note that up to `most` bytes of a piece are about to be read; return how many may be."""
        with self.changed:
            piece.measure(now)
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
            if piece in self._taken:
                self._taken.remove(piece)
            if piece.at < piece.end:
                self._open = sorted([*self._open, (piece.at, piece.end)])
            self.changed.notify_all()

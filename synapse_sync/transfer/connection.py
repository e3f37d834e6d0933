"""Connection: one of those over which a file is received, and its part of their rate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from synapse_sync.core.connection_count import Lane, Seen
from synapse_sync.net.stream import Stream
from synapse_sync.threads import begin
from synapse_sync.transfer.pieces import Piece
from synapse_sync.transfer.want import Clock, Limits

#: The smallest read, and the first one of a new connection (bytes).
SMALLEST, _FIRST = 16 << 10, 64 << 10


@dataclass(slots=True, eq=False)
class Connection:
    """One connection of a file; `begun` and `answered` are moments in seconds, `received` its bytes.

    `stream` and `piece` are what it is working on, `opening` says that it waits for an answer. `step` is the size
    of its last read, `rate` the bytes per second of its last piece. `warm` says that its last body was read to the
    end, so that the next request needs no new connection. `given_up` says that its stream was aborted for its
    slowness.
    """

    begun: float
    answered: float | None = None
    received: int = 0
    stream: Stream | None = None
    piece: Piece | None = None
    step: int = _FIRST
    rate: float = 0.0
    opening: bool = False
    warm: bool = False
    given_up: bool = False
    thread: threading.Thread | None = None

    def begin(self, work: Callable[[], None]) -> bool:
        """Do `work` in a thread of its own; return False if the system refuses one."""
        self.thread = threading.Thread(target=work, name="synapse-range", daemon=True)
        if begin(self.thread):
            return True
        self.thread = None  # nobody waits for it
        return False

    def speed(self, now: float) -> float:
        """Its bytes per second: of the last piece, else so far; 0 before anything is known."""
        return self.rate or self.seen().rate(now)

    def seen(self) -> Lane:
        """Its facts, as `connection_count` needs them."""
        return Lane(begun=self.begun, answered=self.answered, received=self.received)


def seen_at(
    now: float,
    clock: Clock,
    limits: Limits,
    received: int,
    lanes: tuple[Lane, ...],
    *,
    allowed: int,
    round_trip: float | None,
) -> Seen:
    """The facts of a moment (`now`, seconds) from which `connection_count` decides; see `Seen`."""
    return Seen(
        now=now,
        worked=clock.worked(),
        idle=clock.idle(),
        received=received,
        lanes=lanes,
        allowed=allowed,
        shortest=limits.look_every,
        enough=limits.fast_enough,
        far_from=limits.far_from,
        round_trip=round_trip,
    )


def speed_and_share(own: Connection, all_of_them: Sequence[Connection], now: float) -> tuple[float, float]:
    """Return the speed of a connection in bytes per second, and its share of that of all, between 0 and 1.

    One about which nothing is known counts as the average of the others.
    """
    speeds = [speed for one in all_of_them if (speed := one.speed(now)) > 0]
    usual = sum(speeds) / len(speeds) if speeds else 0.0
    total = sum(speeds) + usual * (len(all_of_them) - len(speeds))
    speed = own.speed(now) or usual
    return speed, speed / total if total else 1 / len(all_of_them)

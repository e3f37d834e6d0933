"""How many connections to receive one file over, and how many a host puts up with. Pure.

`decided` is called again and again with the facts of the moment, and returns the count to aim for. A far host
answers late, so its connections are opened at once and judged afterwards. With a near one each step is judged.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import replace

from synapse_sync.core.frozen import dataclass

#: A far file goes on with this many connections at once, then with as many as are allowed.
_EAGER = 8
#: The round trips of an answer on a new connection: TCP, TLS, the request; one more with an older TLS.
_ROUND_TRIPS = 4.0
#: Beyond this many times the distance from which on a host is far, not even the first rate is waited for.
_VERY_FAR = 4.0
#: A connection is at its pace when it has delivered for this many times as long as it took to be answered. That is
#: three or four round trips and the server's own time, and congestion windows double once in a round trip.
_SETTLING = 2.0
_LONGEST_SETTLING = 3.0
#: Twice as many connections have to raise the rate by this factor; a larger step has to raise it by more.
WORTH = 1.2
#: Fewer connections have to keep this share of the rate; below the second one the try is soon over.
_KEPT, _LOST = 0.95, 0.85
#: Below this share of what was measured before, the rate has fallen, or a connection is slow beside the others.
_FALLEN, _SLOW = 0.7, 0.25
#: How much of a better rate of before is forgotten with each measurement.
_FADING = 0.1
#: Seconds until the next try after one that did not help, trebled each time up to the longest.
_PATIENCE, _LONGEST_PATIENCE = 10.0, 90.0
#: Seconds of a steady rate before fewer connections are tried: a short download never pays for that try. After one
#: that helped, the next one follows sooner.
_STEADY, _SOON = 8.0, 2.0
#: Above this share of one core this process is the bottleneck, and more connections do not help.
BUSY = 0.8
#: With a near host, the cores together are the bottleneck while less than this share of one of them is idle: a
#: server on this machine may use the rest. A far host is slower than any machine.
_IDLE = 0.25
#: Seconds until one more connection is tried at a host that refused some, doubled each time up to the longest.
_TRUCE, _LONGEST_TRUCE = 15.0, 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One connection: when its request was begun and answered (seconds; None: not yet), and its bytes so far."""

    begun: float
    answered: float | None = None
    received: int = 0

    @property
    def waited(self) -> float:
        """The seconds until it was answered, 0 without an answer."""
        return 0.0 if self.answered is None else self.answered - self.begun

    def steady_from(self, line: float) -> float:
        """The moment from which it is expected to be at its pace; for ever away without an answer.

        `line` is the most seconds of its wait that the way to the host can explain.
        """
        if self.answered is None:
            return float("inf")
        return self.answered + min(_LONGEST_SETTLING, _SETTLING * min(self.waited, line))

    def rate(self, now: float) -> float:
        """Its bytes per second since its answer."""
        return 0.0 if self.answered is None else self.received / max(1e-3, now - self.answered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The facts of one moment: `now` in seconds, the bytes `received` in all. `worked` is the processor time of
    this process in seconds, `idle` the unused one of all cores if known.

    `allowed` is the greatest number of connections now, `shortest` the shortest time of a measurement in seconds.
    At a rate of `enough` bytes per second no more are needed. `far_from` and `round_trip`, the seconds of a round
    trip to the host if known, are for `is_far`.
    """

    now: float
    worked: float
    received: int
    lanes: tuple[Lane, ...]
    allowed: int
    shortest: float
    enough: float
    far_from: float
    round_trip: float | None = None
    idle: float | None = None

    @property
    def line(self) -> float:
        """The most seconds that the way to the host can take of the wait for an answer."""
        return float("inf") if self.round_trip is None else _ROUND_TRIPS * self.round_trip


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A rate in bytes per second with this number of connections."""

    count: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The number of connections to aim for, and what led to it.

    `since`, `received`, `worked` and `idle` are the begin of the present measurement. `far` is None before the
    first look. `eager` says that connections are opened before they are judged, `climbing` that more are still to
    be tried. `before` is the measurement that a try has to beat, `steady` the one that holds since `held_since`.
    Unless the rate falls, nothing is tried before `quiet_until`. After an even number of `failures`, fewer
    connections are tried, else more. `most` is the limit that growth took into account.
    """

    wanted: int = 1
    since: float = 0.0
    received: int = 0
    worked: float = 0.0
    idle: float | None = None
    far: bool | None = None
    eager: bool = False
    climbing: bool = True
    before: Measured | None = None
    steady: Measured | None = None
    held_since: float = 0.0
    quiet_until: float = 0.0
    patience: float = _PATIENCE
    failures: int = 0
    most: int = 1


def is_far(waited: float, round_trip: float | None, far_from: float) -> bool:
    """Whether a host is far: an answer on a new connection took `waited` seconds, at least `far_from`.

    Where the seconds of a round trip are known, they decide as well: a server in the next rack that thinks for
    long, as an object store does, is not far.
    """
    return waited >= far_from and (round_trip is None or _ROUND_TRIPS * round_trip >= far_from)


def decided(count: Count, seen: Seen) -> Count:
    """Return the next count after what was seen; `wanted` never exceeds what is allowed."""
    if count.far is None:
        far = is_far(_distance(seen.lanes), seen.round_trip, seen.far_from)
        count = _from_now(replace(count, far=far), seen)
    if count.wanted > seen.allowed:
        # Others need the connections, or the host refused some. A measurement with more of them says nothing now.
        count = _from_now(replace(count, wanted=max(1, seen.allowed), before=None, steady=None), seen)
        return replace(count, most=seen.allowed, eager=False, climbing=False)
    if seen.allowed > count.most:
        count = replace(count, most=seen.allowed, eager=bool(count.far), climbing=True, before=None, steady=None)
    return _opened(count, seen) if count.eager else _judged(count, seen)


def _opened(count: Count, seen: Seen) -> Count:
    """The next step of a far file, a round trip after the one before: refused connections are known by then."""
    elapsed = seen.now - count.since
    if count.wanted >= seen.allowed or elapsed > _LONGEST_SETTLING:
        return _from_now(replace(count, eager=False, climbing=False), seen)
    distance = _distance(seen.lanes)
    if count.wanted == 1:
        wait = 0.0 if distance >= _VERY_FAR * seen.far_from else seen.shortest / 2
    else:
        wait = max(seen.shortest / 2, distance / _ROUND_TRIPS)
    if elapsed < wait or len(seen.lanes) < count.wanted:
        return count
    if _rate(count, seen) >= seen.enough:
        return _from_now(replace(count, eager=False, climbing=False), seen)
    if _is_busy(count, seen):
        return _from_now(count, seen)
    step = _EAGER if count.wanted < _EAGER else seen.allowed
    return _from_now(replace(count, wanted=min(seen.allowed, step)), seen)


def _judged(count: Count, seen: Seen) -> Count:
    """The next step where each one is judged: only once all connections were at their pace for a while."""
    if not seen.lanes or len(seen.lanes) > count.wanted:
        return _from_now(count, seen)
    steady_from = max(lane.steady_from(seen.line) for lane in seen.lanes)
    if count.since < steady_from:
        return _from_now(count, seen) if seen.now >= steady_from else count
    tried = count.before
    lost = tried is not None and count.wanted < tried.count and _rate(count, seen) < _LOST * tried.rate
    if seen.now - count.since < _window(seen) / (4 if lost else 1):
        return count
    found = Measured(count=len(seen.lanes), rate=_rate(count, seen))
    busy = _is_busy(count, seen)
    count = _from_now(count, seen)
    if count.before is not None:
        return _verdict(count, count.before, found, seen)
    if not busy and _may_try_more(count, found, seen):
        return _try(count, min(seen.allowed, 2 * count.wanted), found.rate)
    if count.steady is None:
        return replace(count, steady=found, held_since=seen.now)
    best = max(found.rate, count.steady.rate + _FADING * (found.rate - count.steady.rate))
    if count.wanted > 1 and _is_due(count, seen) and (count.failures % 2 == 0 or count.wanted >= seen.allowed):
        fewer = max(1, count.wanted // 2 if busy else count.wanted * 3 // 4)
        return _try(replace(count, climbing=False), fewer, best)
    return replace(count, steady=Measured(count=found.count, rate=best))


def _try(count: Count, wanted: int, rate: float) -> Count:
    """Aim for another number of connections, to be compared with what the present one brings."""
    return replace(count, wanted=wanted, before=Measured(count=count.wanted, rate=rate))


def _is_due(count: Count, seen: Seen) -> bool:
    return seen.now >= max(count.quiet_until, count.held_since + _STEADY)


def _verdict(count: Count, before: Measured, found: Measured, seen: Seen) -> Count:
    """Keep what was tried if it helped, else go back; then wait longer before the next try."""
    if count.wanted > before.count:
        helped = found.rate >= before.rate * (1 + (WORTH - 1) * (found.count / before.count - 1))
        if helped and found.count > before.count:
            return replace(count, climbing=True, before=None, steady=found, held_since=seen.now)
    elif found.rate >= _KEPT * before.rate:
        # The rate of before stays the measure: else small losses would add up, try by try.
        steady = Measured(count=found.count, rate=max(found.rate, before.rate))
        return replace(count, before=None, steady=steady, held_since=seen.now + _SOON - _STEADY)
    return replace(
        count,
        wanted=min(before.count, seen.allowed),
        climbing=False,
        before=None,
        steady=before,
        held_since=seen.now,
        quiet_until=seen.now + count.patience,
        patience=min(_LONGEST_PATIENCE, 3 * count.patience),
        failures=count.failures + 1,
    )


def _may_try_more(count: Count, found: Measured, seen: Seen) -> bool:
    """Whether more connections may help: during growth, at a lower rate, beside a slow one, or now and then."""
    if count.wanted >= seen.allowed or found.rate >= seen.enough or found.count < count.wanted:
        return False
    if count.climbing:
        return True
    if count.steady is None:
        return False
    if found.rate < _FALLEN * count.steady.rate:
        return True
    rates = [lane.rate(seen.now) for lane in seen.lanes]
    if min(rates) < _SLOW * statistics.median(rates):
        return seen.now >= count.quiet_until
    return _is_due(count, seen) and (count.failures % 2 == 1 or count.wanted == 1)


def _from_now(count: Count, seen: Seen) -> Count:
    """The same count with a measurement that begins now."""
    return replace(count, since=seen.now, received=seen.received, worked=seen.worked, idle=seen.idle)


def _rate(count: Count, seen: Seen) -> float:
    return (seen.received - count.received) / max(1e-6, seen.now - count.since)


def _is_busy(count: Count, seen: Seen) -> bool:
    elapsed = seen.now - count.since
    is_full = seen.idle is not None and count.idle is not None and seen.idle - count.idle < _IDLE * elapsed
    return (is_full and not count.far) or seen.worked - count.worked > BUSY * elapsed


def _window(seen: Seen) -> float:
    """The seconds of a measurement: some round trips, so that a lost packet does not decide."""
    return max(seen.shortest, min(_LONGEST_SETTLING, 2 * min(_distance(seen.lanes), seen.line)))


def _distance(lanes: Iterable[Lane]) -> float:
    """The longest time that a connection took to be answered, in seconds."""
    return max((lane.waited for lane in lanes), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """How many connections a host put up with, from `since` (seconds) on, and the wait before one more is tried."""

    count: int
    since: float
    truce: float = _TRUCE

    def at(self, now: float, most: int) -> int:
        """The number of connections to use now, `most` at most: a quarter more after each truce."""
        count = self.count
        for _ in range(int(max(0.0, now - self.since) / self.truce)):
            count += max(1, count // 4)
            if count >= most:
                return most
        return min(count, most)


def lowered(ceiling: Ceiling | None, now: float, in_use: int, wait: float | None) -> Ceiling:
    """Return the ceiling of a host that refused one of the `in_use` connections, itself counted.

    `wait` is the number of seconds that the host asks to wait, if it does. Refusals at the same moment belong
    together; later ones double the wait before the next try.
    """
    count, truce = max(1, in_use - 1), _TRUCE
    if ceiling is not None:
        again = now - ceiling.since >= ceiling.truce
        truce = min(_LONGEST_TRUCE, 2 * ceiling.truce) if again else ceiling.truce
        count = count if again else min(count, ceiling.count)
    return Ceiling(count=count, since=now, truce=max(truce, wait or 0.0))

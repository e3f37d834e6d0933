"""Measured speeds of hosts, how they age, and the choice among several hosts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from synapse_sync.core.frozen import dataclass

#: Smaller downloads end before a connection has reached its speed.
TELLING = 4 << 20
#: Assumed bytes per second of an unmeasured host; a measured one with half of that is as good.
HOPED = 10e6
#: After this many seconds a measurement counts half.
HALF_LIFE = 7 * 86_400.0
#: Older measurements (seconds) are dropped.
FORGOTTEN = 90 * 86_400.0
#: Hosts within this factor count as equal, since other transfers share the connection.
_ALIKE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """A measurement: `rate` in bytes per second for one file, `at` in seconds since 1970."""

    rate: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRating:
    """The facts about one host: its mark of this run (lower is better) and its measured speed.

    `hoped` is False for an unmeasured host that has just failed; `local` means that no host is needed.
    """

    mark: int = 0
    speed: Speed | None = None
    hoped: bool = True
    local: bool = False


def learned(before: Speed | None, rate: float, now: float) -> Speed:
    """Combine the earlier speed with a new measurement of `rate` bytes per second at `now`.

    The new one counts as much as all earlier ones together, and more the older those are.
    """
    if before is None:
        return Speed(rate=rate, at=now)
    old = _weight(before, now) / 2
    return Speed(rate=old * before.rate + (1 - old) * rate, at=now)


def preferred(ratings: Sequence[HostRating], now: float) -> int:
    """The index of the location to ask first; `ratings` are in the user's order, `now` in seconds since 1970.

    Among the locations with the best mark, the first one counts whose expected speed is at least half of the
    fastest. An unmeasured host is assumed to be fast, so that it is tried if it comes first, or after slow ones. An
    old measurement fades towards that assumption.
    """
    best = min(rating.mark for rating in ratings)
    left = [index for index, rating in enumerate(ratings) if rating.mark == best]
    figures = [speed.rate for index in left if (speed := ratings[index].speed) is not None]
    hope = max(HOPED, *figures, 0.0)
    expected = {index: _expected(ratings[index], hope, now) for index in left}
    fastest = max(expected.values())
    return next(index for index in left if ratings[index].local or expected[index] * _ALIKE >= fastest)


def _expected(rating: HostRating, hope: float, now: float) -> float:
    if rating.speed is None:
        return hope if rating.hoped and not rating.local else 0.0
    weight = _weight(rating.speed, now)
    return math.exp(weight * math.log(max(1.0, rating.speed.rate)) + (1 - weight) * math.log(hope))


def _weight(speed: Speed, now: float) -> float:
    """The weight of a measurement, between 0 and 1, also if the clock was set back."""
    return math.pow(0.5, max(0.0, now - speed.at) / HALF_LIFE)

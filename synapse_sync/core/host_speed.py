"""Speeds: what hosts were measured to give, how such a figure ages, and which of several hosts to ask first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Fewer bytes than this are over before a connection has found its pace.
TELLING = 4 << 20
#: Bytes a second that a host is hoped to give which was never measured: who gives half of that is not doubted.
HOPED = 10e6
#: After this many seconds a figure is worth half.
HALF_LIFE = 7 * 86_400.0
#: Older figures (seconds) say next to nothing and are dropped.
FORGOTTEN = 90 * 86_400.0
#: Hosts that differ by less are alike: other transfers, and other people's, share the line.
_ALIKE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Bytes a second that a host gave to one file, and when (seconds since the epoch)."""

    rate: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRating:
    """What is known of one host: its mark of this run (less is better) and its speed.

    `hoped` is False when an unmeasured host has just failed to give a file; `local` needs no host at all.
    """

    mark: int = 0
    speed: Speed | None = None
    hoped: bool = True
    local: bool = False


def learned(before: Speed | None, rate: float, now: float) -> Speed:
    """The figure after one more measurement, which counts as much as all before, and more the older those are."""
    if before is None:
        return Speed(rate=rate, at=now)
    old = _weight(before, now) / 2
    return Speed(rate=old * before.rate + (1 - old) * rate, at=now)


def preferred(ratings: Sequence[HostRating], now: float) -> int:
    """Which of these places to ask first, told by its index; they are in the user's order.

    Of those with the best mark it is the first that is expected to give at least half of what the fastest gives. An
    unmeasured host is expected to be as fast as any, so it gets its turn: where it stands first, or where what
    stands before it is slow. An old figure fades towards that hope, and with it the verdict.
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
    """How much of a figure still counts, between 0 and 1, even where the clock was put back."""
    return math.pow(0.5, max(0.0, now - speed.at) / HALF_LIFE)

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_sync.core.connection_count import Ceiling, Count, Lane, Measured, Seen, decided, is_far, lowered

MB = 1e6
#: The most that a host gets, and the smallest piece that a connection receives before it may leave (bytes).
MOST, PIECE = 16, 8 << 20
STEP = 0.04


@dataclass(frozen=True)
class Line:
    """A simulated way to a server: seconds, bytes a second, the share of lost packets, connections it accepts."""

    rtt: float = 0.1
    think: float = 0.0  # of the server, before it answers
    cap: float = math.inf
    link: float = 125 * MB
    loss: float = 0.0
    limit: int = MOST
    idle: float | None = None  # cores of this machine that nobody uses
    cores: float = math.inf  # bytes a second that this process can take in

    @property
    def wait(self) -> float:
        """The seconds until a new connection is answered."""
        return 4 * self.rtt + self.think

    @property
    def pace(self) -> float:
        """The rate of one connection that has the link for itself (the formula of Mathis et al.)."""
        lossy = math.inf if not self.loss else 1448 / self.rtt * 1.22 / math.sqrt(self.loss)
        return min(self.cap, lossy, self.link)

    @property
    def best(self) -> float:
        """The rate with as many connections as the server accepts."""
        return min(self.link, self.cores, self.pace * min(MOST, self.limit))


@dataclass
class Connection:
    begun: float
    answered: float | None = None
    received: float = 0.0
    piece: float = 0.0
    refused: bool = False


@dataclass
class Run:
    """A download without end over a line: the connections of each moment, and those that were ever begun."""

    line: Line
    noise: float = 0.0
    now: float = 0.0
    received: float = 0.0
    worked: float = 0.0
    begun: int = 0
    refused: int = 0
    count: Count = field(default_factory=Count)
    ceiling: Ceiling | None = None
    most: int = MOST
    lanes: list[Connection] = field(default_factory=list)
    history: list[tuple[float, int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(1)
        self.lanes.append(Connection(begun=-self.line.wait, answered=0.0))

    def on(self, seconds: float) -> Run:
        """Let time pass in steps of `STEP` seconds."""
        until = self.now + seconds
        while self.now < until:
            self.now += STEP
            self._pass(STEP)
            self._look()
        return self

    def _pass(self, seconds: float) -> None:
        accepted = sum(lane.answered is not None for lane in self.lanes)
        for lane in list(self.lanes):
            if lane.answered is None and self.now >= lane.begun + self.line.wait:
                if accepted >= self.line.limit:
                    self.ceiling = lowered(self.ceiling, self.now, len(self.lanes), None)
                    self.lanes.remove(lane)
                    self.refused += 1
                else:
                    lane.answered = self.now
                    accepted += 1
        wishes = {id(lane): self._wish(lane) for lane in self.lanes if lane.answered is not None}
        total = sum(wishes.values())
        share = min(1.0, min(self.line.link, self.line.cores) / total) if total else 0.0
        self.worked += seconds * min(1.0, min(total, self.line.link) / self.line.cores)
        for lane in list(self.lanes):
            got = wishes.get(id(lane), 0.0) * share * seconds
            lane.received += got
            lane.piece += got
            self.received += got
            if lane.piece >= PIECE:
                lane.piece = 0.0
                if len(self.lanes) > self.count.wanted:
                    self.lanes.remove(lane)

    def _wish(self, lane: Connection) -> float:
        assert lane.answered is not None
        window = 14_600 * 2.0 ** min(40.0, (self.now - lane.answered) / self.line.rtt)
        noise = math.exp(self.chance.gauss(0, self.noise)) if self.noise else 1.0
        return min(self.line.pace * noise, window / self.line.rtt)

    def _look(self) -> None:
        allowed = self.most if self.ceiling is None else self.ceiling.at(self.now, self.most)
        lanes = tuple(
            Lane(begun=one.begun, answered=one.answered, received=int(one.received)) for one in self.lanes
        )
        self.count = decided(
            self.count,
            Seen(
                now=self.now,
                worked=self.worked,
                received=int(self.received),
                lanes=lanes,
                allowed=allowed,
                shortest=0.1,
                enough=300 * MB,
                far_from=0.025,
                round_trip=self.line.rtt,
                idle=None if self.line.idle is None else self.now * self.line.idle,
            ),
        )
        assert 1 <= self.count.wanted <= allowed
        while len(self.lanes) < self.count.wanted:
            self.lanes.append(Connection(begun=self.now))
            self.begun += 1
        self.history.append((self.now, len(self.lanes), self.received))

    def rate(self, since: float) -> float:
        """The bytes a second from a moment until now."""
        then, _, received = next(point for point in self.history if point[0] >= since)
        return (self.received - received) / (self.now - then)

    def when(self, count: int) -> float:
        """The first moment at which there were that many connections."""
        return next((now for now, lanes, _ in self.history if lanes >= count), math.inf)

    @property
    def lanes_now(self) -> int:
        return self.history[-1][1]


LINES = st.builds(
    Line,
    rtt=st.sampled_from([0.002, 0.02, 0.05, 0.1, 0.2]),
    cap=st.sampled_from([1 * MB, 5 * MB, 10 * MB, 20 * MB, math.inf]),
    link=st.sampled_from([5 * MB, 30 * MB, 125 * MB, 250 * MB]),
    loss=st.sampled_from([0.0, 0.0001, 0.001, 0.01]),
    limit=st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16]),
    cores=st.sampled_from([math.inf, math.inf, 200 * MB]),
)


@settings(max_examples=25, deadline=None)
@given(LINES)
def test_it_finds_what_the_line_can_carry_and_never_storms(line: Line) -> None:
    run = Run(line).on(40)
    assert run.rate(since=20) >= 0.85 * line.best
    assert run.refused <= MOST + 8
    assert run.begun <= 4 * MOST


@settings(max_examples=8, deadline=None)
@given(LINES, st.integers(0, 99))
def test_it_bears_rates_that_waver(line: Line, seed: int) -> None:
    run = Run(line, noise=0.5)
    run.chance = random.Random(seed)
    run.on(40)
    assert run.rate(since=20) >= 0.75 * line.best
    assert run.refused <= MOST + 8
    assert run.begun <= 6 * MOST


@pytest.mark.parametrize("rtt", [0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("cap", [5, 10, 20, math.inf])
@pytest.mark.parametrize("loss", [0.0, 0.001])
def test_a_far_host_gets_all_connections_within_a_second(rtt: float, cap: float, loss: float) -> None:
    assert Run(Line(rtt=rtt, cap=cap * MB, loss=loss)).on(3).when(MOST) <= 1.0


def test_the_distance_decides_whether_the_first_rate_is_waited_for() -> None:
    assert Run(Line(rtt=0.05)).on(1).when(8) == STEP
    assert STEP < Run(Line(rtt=0.01)).on(1).when(8) < 0.5
    assert Run(Line(rtt=0.004, cap=5 * MB)).on(1).when(2) > 0.1


def test_a_near_host_gets_more_connections_step_by_step_while_each_step_helps() -> None:
    run = Run(Line(rtt=0.001, cap=20 * MB, link=1000 * MB)).on(3)
    moments = [0.0, *(run.when(count) for count in (2, 4, 8, 16))]
    assert all(0.1 <= later - earlier <= 0.5 for earlier, later in pairwise(moments))
    assert Run(Line(rtt=0.001, link=100 * MB)).on(3).when(4) == math.inf


def test_a_near_host_that_thinks_before_it_answers_is_not_far() -> None:
    """An object store in the next rack: more connections are tried, but none is opened before it is judged."""
    assert Run(Line(rtt=0.0005, think=0.1, link=100 * MB)).on(3).when(4) == math.inf
    run = Run(Line(rtt=0.0005, think=0.05, cap=20 * MB, link=1000 * MB)).on(3)
    assert 0.1 < run.when(2) < run.when(4) < run.when(8) < run.when(16) < 2.0


def test_a_near_host_gets_no_more_connections_while_no_core_is_idle() -> None:
    """A server on this machine uses the rest of its cores. A far one is slower than any machine."""
    near = Line(rtt=0.001, cap=20 * MB, link=1000 * MB)
    assert Run(replace(near, idle=0.1)).on(5).when(2) == math.inf
    assert Run(replace(near, idle=0.5)).on(5).when(16) < 2
    assert Run(Line(rtt=0.05, cap=10 * MB, idle=0.0)).on(2).when(16) < 1


@pytest.mark.parametrize(
    ("waited", "round_trip", "far"),
    [(0.02, None, False), (0.03, None, True), (0.03, 0.0005, False), (0.03, 0.007, True), (0.02, 0.007, False)],
)
def test_what_is_far(waited: float, round_trip: float | None, far: bool) -> None:
    assert is_far(waited, round_trip, 0.025) is far


def test_no_verdict_before_a_new_connection_was_at_its_pace() -> None:
    """It takes long to be answered and starts slowly: until then it brings nothing, and helps all the same."""
    run = Run(Line(rtt=0.006, cap=10 * MB, link=1000 * MB)).on(0.5)
    run.line = replace(run.line, rtt=0.06)
    assert run.on(8).when(MOST) < 8


def test_one_connection_that_fills_the_line_is_left_alone_in_the_end() -> None:
    run = Run(Line(rtt=0.1, link=30 * MB)).on(40)
    assert run.when(MOST) <= 1 and run.lanes_now <= 2
    assert run.rate(since=5) >= 0.95 * run.line.best


def test_a_short_download_is_not_disturbed_by_a_try_with_fewer() -> None:
    run = Run(Line(rtt=0.1, cap=10 * MB)).on(5)
    assert {lanes for now, lanes, _ in run.history if now > 1} == {MOST}


def test_a_fast_host_gets_no_second_connection() -> None:
    for rtt in (0.002, 0.01):
        run = Run(Line(rtt=rtt, link=2000 * MB))
        run.lanes[0].answered = -1.0  # at its pace already
        assert run.on(10).begun == 0


def test_a_busy_processor_gets_no_more_connections() -> None:
    run = Run(Line(rtt=0.01, cores=100 * MB))
    run.lanes[0].answered = -1.0
    assert run.on(10).begun == 0


def test_a_busy_processor_loses_half_of_them() -> None:
    run = Run(Line(rtt=0.02, cap=20 * MB)).on(3)
    assert run.lanes_now == MOST
    run.line = replace(run.line, cores=100 * MB)
    assert run.on(20).lanes_now <= MOST // 2


def test_more_are_opened_when_the_rate_falls() -> None:
    run = Run(Line(rtt=0.02, link=100 * MB)).on(40)
    few = run.lanes_now
    run.line = replace(run.line, cap=6 * MB)
    assert few <= 2 and run.on(15).lanes_now >= 12


@pytest.mark.parametrize(("slow", "quiet_until", "wanted"), [(2.0, 0.0, 4), (9.0, 0.0, 2), (2.0, 99.0, 2)])
def test_more_are_opened_beside_a_slow_one(slow: float, quiet_until: float, wanted: int) -> None:
    steady = Measured(count=2, rate=30 * MB)
    count = Count(wanted=2, far=False, climbing=False, most=MOST, steady=steady, held_since=9.0, since=9.0)
    lanes = tuple(Lane(begun=0.0, answered=0.01, received=int(rate * MB * 10)) for rate in (28.0, slow))
    seen = Seen(
        now=10.0,
        worked=0.0,
        received=30_000_000,
        lanes=lanes,
        allowed=MOST,
        shortest=0.1,
        enough=300 * MB,
        far_from=0.025,
    )
    assert decided(replace(count, quiet_until=quiet_until), seen).wanted == wanted


def test_others_get_their_share_and_it_is_taken_up_again() -> None:
    run = Run(Line(rtt=0.05, cap=10 * MB)).on(3)
    run.most = 4
    assert run.on(3).lanes_now == 4
    run.most = MOST
    assert run.on(1).lanes_now == MOST


@pytest.mark.parametrize("limit", [1, 2, 4, 8, 12])
def test_a_host_that_refuses_connections_is_asked_ever_less_often(limit: int) -> None:
    run = Run(Line(rtt=0.05, cap=10 * MB, limit=limit)).on(2)
    at_once = run.refused
    assert at_once <= MOST - limit
    run.on(300)
    assert run.refused - at_once <= 3 * 6  # after 15, 30, 60, 120 and 240 seconds, a quarter more each time
    assert run.rate(since=10) >= 0.9 * run.line.best


def test_a_connection_that_never_answers_holds_nothing_up_for_ever() -> None:
    run = Run(Line(rtt=0.05, cap=10 * MB)).on(0.15)
    hanging = [lane for lane in run.lanes if lane.answered is None]
    assert hanging
    for lane in hanging:
        lane.begun = 1e9
    run.on(5)
    assert len(run.lanes) == MOST and not run.count.eager and run.rate(since=3) > 0


def test_the_ceiling_of_a_host_rises_by_a_quarter_after_each_truce() -> None:
    ceiling = Ceiling(count=4, since=100.0)
    assert [ceiling.at(now, MOST) for now in (100, 114, 115, 129, 130, 145, 1000)] == [4, 4, 5, 5, 6, 7, MOST]
    assert ceiling.at(100, 3) == 3 and ceiling.at(0, MOST) == 4


def test_refusals_at_one_moment_belong_together() -> None:
    ceiling = None
    for in_use in (16, 15, 14, 13, 14):
        ceiling = lowered(ceiling, 1.0, in_use, None)
    assert ceiling == Ceiling(count=12, since=1.0)
    later = lowered(ceiling, 17.0, 15, None)
    assert later == Ceiling(count=14, since=17.0, truce=2 * ceiling.truce)
    for turn in range(2, 9):
        later = lowered(later, 1000.0 * turn, 2, None)
    assert later.truce == 240.0 and later.count == 1


def test_a_host_may_ask_for_a_longer_truce() -> None:
    assert lowered(None, 0.0, 1, 90.0) == Ceiling(count=1, since=0.0, truce=90.0)
    assert lowered(None, 0.0, 5, 1.0).truce == 15.0

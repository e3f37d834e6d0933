"""The deep sweep: every scenario in every mode, every fault at every call, on all cores. `make torture` runs it."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweep import scenarios
from sweep.arena import Golden, Scenario, Verdict
from sweep.disk import disk
from sweep.scenarios import MODES, Stage

POWER = "power lost"
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EACCES")
#: Kinds of points, and the share of a scenario's calls at which each is tried.
KINDS: dict[str, float] = {
    "killed before": 1.0,
    "killed after": 1.0,
    "killed, and killed again": 0.25,
    **dict.fromkeys(ERRORS, 0.5),
    "ENOSPC from then on": 0.5,
    "short write": 0.25,
    "SIGINT": 0.5,
    "SIGTERM": 0.25,
    "two at once": 0.5,
    "two at once, locks that lie": 0.25,
    POWER: 1.0,
}
#: Seconds between two words about how far it is.
_TELL = 30.0
_WORDS = {"killed before": "before", "killed after": "after", "short write": "short"}


Job = tuple[Callable[[Stage, str], Scenario], str]
Plan = list[tuple[Scenario, Golden, str, int]]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is played: this share of the points, at most so many, for so long, mixed with this seed."""

    share: float
    minutes: float
    points: int
    seed: int


@dataclass
class Tally:
    """What a worker saw; `coverage` is the part of its points that each scenario has had, in percent."""

    points: Counter[str] = field(default_factory=Counter)
    possible: int = 0
    coverage: dict[str, float] = field(default_factory=dict)
    bad: list[Verdict] = field(default_factory=list)

    def play(self, on: Stage, plan: Plan, until: float, most: int) -> None:
        """Go through these points in a mixed order, as far as there is time, and say now and then how far."""
        rest = Counter(scenario.name for scenario, *_ in plan)
        wanted = dict(rest)
        self.possible = len(plan)
        told = time.monotonic()
        for number, (scenario, known, kind, at) in enumerate(plan[:most]):
            if time.monotonic() > until:
                break
            if time.monotonic() > told + _TELL:
                told = time.monotonic()
                sys.stderr.write(f"{number:,} of {min(len(plan), most):,} points, {len(self.bad)} bad\n")
            verdict = one(on, scenario, known, kind, at)
            self.points[kind] += 1
            rest[scenario.name] -= 1
            if verdict.problems:
                self.bad.append(verdict)
                sys.stderr.write(f"{verdict.point}: {verdict.problems}\n{verdict.said}\n")
        self.coverage = {name: 100 * (1 - rest[name] / count) for name, count in wanted.items()}

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.points + other.points,
            self.possible + other.possible,
            self.coverage | other.coverage,
            self.bad + other.bad,
        )


def one(on: Stage, scenario: Scenario, known: Golden, kind: str, at: int) -> Verdict:
    """One point of a kind."""
    zygote = on.zygote
    if kind == POWER:
        return zygote("power", scenario, known, at)
    if kind == "killed, and killed again":
        return zygote("twice", scenario, known, at, max(1, (at * 7) % len(known.calls)))
    if kind.startswith("two at once"):
        lies = replace(scenario, no_locks="lie" in kind)
        return zygote("pair", lies, known, at, scenario.commands, "project")
    if kind.endswith("from then on"):
        return zygote("point", scenario, known, kind.split()[0], at, True)
    return zygote("point", scenario, known, _WORDS.get(kind, kind), at)


def points(name: str, calls: int, share: float, kinds: tuple[str, ...]) -> list[tuple[str, int]]:
    """Some of the calls for each kind, spread evenly, and the same every time."""
    rng = random.Random(name)
    found = []
    for kind in kinds:
        count = min(calls, round(calls * KINDS[kind] * share))
        begin = rng.random()
        found += [(kind, 1 + int((begin + number) * calls / count) % calls) for number in range(count)]
    return found


def prepare(on: Stage, jobs: Sequence[Job], share: float, kinds: tuple[str, ...], seed: int) -> Plan:
    """Build the scenarios, and mix their points."""
    plan: Plan = []
    for make, mode in jobs:
        scenario = make(on, mode)
        known: Golden = on.zygote("golden", scenario)
        scenario = replace(scenario, codes=known.codes)
        found = points(scenario.name, len(known.calls), share, kinds)
        plan += [(scenario, known, kind, at) for kind, at in found]
    random.Random(seed).shuffle(plan)
    return plan


def work(number: int, workers: int, base: Path, given: Limits, kinds: tuple[str, ...]) -> Tally:
    """One worker, with its part of the scenarios."""
    tally = Tally()
    until = time.monotonic() + given.minutes * 60
    jobs = [(make, mode) for make in scenarios.ALL for mode in MODES][number::workers]
    room = base / str(number)
    room.mkdir()
    with ExitStack() as stack:
        if kinds == (POWER,):
            stack.enter_context(disk(room))
        on = stack.enter_context(scenarios.stage(room, "disk/stage" if kinds == (POWER,) else "stage"))
        plan = prepare(on, jobs, given.share, kinds, given.seed)
        tally.play(on, plan, until, given.points // workers)
    return tally


def sweep(given: Limits, kinds: tuple[str, ...] = (), workers: int = 0) -> Tally:
    """The whole sweep, on all cores. With the one kind `POWER` it raises `NotPossible`."""
    workers = workers or os.cpu_count() or 1
    base = _room()
    kinds = kinds or tuple(kind for kind in KINDS if kind != POWER)
    try:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            jobs = [(number, workers, base, given, kinds) for number in range(workers)]
            return sum(pool.starmap(work, jobs, chunksize=1), Tally())
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _room() -> Path:
    """Where to play: in memory, if there is a place for that."""
    room = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="synapse-torture-", dir=room))

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
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweep import scenarios
from sweep.arena import Golden, Scenario, Verdict
from sweep.power import disk
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
_WORDS = {"killed before": "before", "killed after": "after", "short write": "short"}


@dataclass
class Tally:
    """What a worker saw."""

    points: Counter[str] = field(default_factory=Counter)
    scenarios: int = 0
    bad: list[Verdict] = field(default_factory=list)

    def play(self, on: Stage, scenario: Scenario, share: float, until: float, kinds: tuple[str, ...]) -> None:
        """Go through the points of a scenario as long as there is time."""
        known: Golden = on.zygote("golden", scenario)
        scenario = replace(scenario, codes=known.codes)
        self.scenarios += 1
        for kind, at in points(scenario.name, len(known.calls), share, kinds):
            if time.monotonic() > until:
                return
            verdict = one(on, scenario, known, kind, at)
            self.points[kind] += 1
            if verdict.problems:
                self.bad.append(verdict)
                sys.stderr.write(f"{verdict.point}: {verdict.problems}\n")

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.points + other.points, self.scenarios + other.scenarios, self.bad + other.bad)


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
    """Some of the calls for each kind, spread evenly, in an order that is mixed, and the same every time."""
    rng = random.Random(name)
    found = []
    for kind in kinds:
        count = min(calls, round(calls * KINDS[kind] * share))
        begin = rng.random()
        found += [(kind, 1 + int((begin + number) * calls / count) % calls) for number in range(count)]
    rng.shuffle(found)
    return found


def work(number: int, workers: int, base: Path, share: float, until: float, kinds: tuple[str, ...]) -> Tally:
    """One worker: its part of the scenarios, each with its part of the time."""
    tally = Tally()
    jobs = [(make, mode) for make in scenarios.ALL for mode in MODES][number::workers]
    (base / str(number)).mkdir()
    with scenarios.stage(base / str(number)) as on:
        for done, (make, mode) in enumerate(jobs):
            now = time.monotonic()
            enough = now + (until - now) / (len(jobs) - done)
            tally.play(on, make(on, mode), share, enough, kinds)
    return tally


def sweep(share: float, minutes: float, kinds: tuple[str, ...] = (), workers: int = 0) -> Tally:
    """The whole sweep, on all cores."""
    workers = workers or os.cpu_count() or 1
    base = _room()
    until = time.monotonic() + minutes * 60
    kinds = kinds or tuple(kind for kind in KINDS if kind != POWER)
    try:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            jobs = [(number, workers, base, share, until, kinds) for number in range(workers)]
            return sum(pool.starmap(work, jobs, chunksize=1), Tally())
    finally:
        shutil.rmtree(base, ignore_errors=True)


def blackout(share: float, minutes: float) -> Tally:
    """Power is lost at each call, and after the last one. Raises `NotPossible`."""
    base = _room()
    until = time.monotonic() + minutes * 60
    tally = Tally()
    try:
        with disk(base), scenarios.stage(base, "disk/stage") as on:
            jobs = [(make, mode) for make in scenarios.ALL for mode in MODES]
            for done, (make, mode) in enumerate(jobs):
                now = time.monotonic()
                tally.play(on, make(on, mode), share, now + (until - now) / (len(jobs) - done), (POWER,))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return tally


def _room() -> Path:
    """Where to play: in memory, if there is a place for that."""
    room = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="synapse-torture-", dir=room))

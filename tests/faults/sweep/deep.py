"""The deep sweep: every scenario in every mode, every fault at every call, on all cores. `make torture` runs it."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweep import scenarios
from sweep.arena import Golden, Scenario, Verdict
from sweep.scenarios import MODES, Stage

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
}
_WORDS = {"killed before": "before", "killed after": "after", "short write": "short"}


@dataclass
class Tally:
    """What a worker saw."""

    points: Counter[str] = field(default_factory=Counter)
    scenarios: int = 0
    bad: list[Verdict] = field(default_factory=list)


def one(on: Stage, scenario: Scenario, known: Golden, kind: str, at: int) -> Verdict:
    """One point of a kind."""
    zygote = on.zygote
    if kind == "killed, and killed again":
        return zygote("twice", scenario, known, at, max(1, (at * 7) % len(known.calls)))
    if kind.startswith("two at once"):
        lies = replace(scenario, no_locks="lie" in kind)
        return zygote("pair", lies, known, at, scenario.commands, "project")
    if kind.endswith("from then on"):
        return zygote("point", scenario, known, kind.split()[0], at, True)
    return zygote("point", scenario, known, _WORDS.get(kind, kind), at)


def points(calls: int, share: float, rng: random.Random) -> Iterator[int]:
    """Some of the calls, spread evenly."""
    step = 1 / share if share else calls + 1
    at = 1 + rng.random() * (step - 1)
    while at <= calls:
        yield int(at)
        at += step


def work(
    number: int, workers: int, base: Path, share: float, until: float, only: str, kinds: tuple[str, ...]
) -> Tally:
    """One worker: its part of the scenarios, in an order that is the same every time."""
    tally = Tally()
    jobs = [(make, mode) for make in scenarios.ALL for mode in MODES if only in f"{make.__name__}-{mode}"]
    rng = random.Random(number)
    (base / str(number)).mkdir()
    with scenarios.stage(base / str(number)) as on:
        for make, mode in jobs[number::workers]:
            scenario = make(on, mode)
            known: Golden = on.zygote("golden", scenario)
            scenario = replace(scenario, codes=known.codes)
            tally.scenarios += 1
            for kind in kinds or KINDS:
                for at in points(len(known.calls), min(1.0, KINDS[kind] * share), rng):
                    if time.monotonic() > until:
                        return tally
                    verdict = one(on, scenario, known, kind, at)
                    tally.points[kind] += 1
                    if verdict.problems:
                        tally.bad.append(verdict)
                        sys.stderr.write(f"{verdict.point}: {verdict.problems}\n")
    return tally


def sweep(share: float, minutes: float, only: str = "", kinds: tuple[str, ...] = (), workers: int = 0) -> Tally:
    """The whole sweep."""
    workers = workers or os.cpu_count() or 1
    room = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    base = Path(tempfile.mkdtemp(prefix="synapse-torture-", dir=room))
    until = time.monotonic() + minutes * 60
    whole = Tally()
    try:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            parts = pool.starmap(
                work, [(n, workers, base, share, until, only, kinds) for n in range(workers)], chunksize=1
            )
        for part in parts:
            whole.points += part.points
            whole.scenarios += part.scenarios
            whole.bad += part.bad
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return whole


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--kind", action="append", default=[])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("-v", action="store_true")
    chosen = parser.parse_args()
    began = time.monotonic()
    tally = sweep(chosen.share, chosen.minutes, chosen.only, tuple(chosen.kind), chosen.workers)
    for kind, count in tally.points.items():
        sys.stdout.write(f"{count:7,}  {kind}\n")
    took = time.monotonic() - began
    sys.stdout.write(
        f"{tally.points.total():7,}  points in {tally.scenarios} scenarios, {took:.0f} s, {len(tally.bad)} bad\n"
    )
    if chosen.v:
        for verdict in tally.bad[:5]:
            sys.stdout.write(f"\n== {verdict.point}\n{verdict.problems}\n{verdict.said}\n")
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())

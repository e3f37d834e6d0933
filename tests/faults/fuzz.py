"""Feed each reader a million inputs that are nearly right: `python tests/faults/fuzz.py [--count N] [NAME…]`.

They come in portions, each with a seed and a process of its own, whose memory is limited and whose every input
has a deadline. Prints a line for each reader: inputs a second, how many were at least well formed (TOML, JSON), how
many were accepted, the slowest, the peak of memory, and the bugs; exit code 1 if there are any. An input that was a
bug is printed whole, as the literal that goes into a test.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field

from parsers import READERS, mutants

#: Bytes of address space, seconds of one input, and how many bugs are enough to stop.
MEMORY, DEADLINE, ENOUGH = 1 << 30, 5, 5
#: Of every so many inputs one is also given to the outer parser alone.
SAMPLE = 16
PORTION = 50_000


@dataclass
class Tally:
    """What became of one reader."""

    name: str
    count: int = 0
    accepted: int = 0
    looked: int = 0
    well_formed: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    peak: int = 0
    bugs: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        well_formed = 100 * self.well_formed / max(self.looked, 1)
        return (
            f"{self.name:<12} {self.count:>10,} inputs  {self.count / max(self.seconds, 1e-9):>8,.0f}/s  "
            f"{well_formed:>3.0f} % well formed  {self.accepted:>9,} accepted  "
            f"slowest {self.slowest * 1000:>6.1f} ms  peak {self.peak / 1e6:>4.0f} MB  {len(self.bugs)} bugs"
        )

    def add(self, other: Tally) -> None:
        """Take in another portion."""
        for name in ("count", "accepted", "looked", "well_formed", "seconds", "bugs"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest, self.peak = max(self.slowest, other.slowest), max(self.peak, other.peak)


class TooSlow(BaseException):
    """One input took longer than the deadline."""


def _alarm(signum: int, frame: object) -> None:
    raise TooSlow


def fuzz(job: tuple[str, int, int]) -> Tally:
    """Feed one reader; for a process of its own."""
    name, count, seed = job
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _alarm)
    reader, tally = READERS[name], Tally(name)
    began = time.perf_counter()
    for data in itertools.islice(mutants(reader, seed), count):
        # In time of this process: on a busy machine, an input may wait for seconds.
        signal.setitimer(signal.ITIMER_PROF, DEADLINE)
        before = time.process_time()
        try:
            tally.accepted += reader.feed(data)
        except (Exception, TooSlow):
            tally.bugs.append(f"{data[:4000]!r}\n{traceback.format_exc(limit=-4)}")
        tally.slowest = max(tally.slowest, time.process_time() - before)
        if tally.count % SAMPLE == 0:
            tally.looked += 1
            tally.well_formed += reader.is_well_formed(data)
        tally.count += 1
        if len(tally.bugs) >= ENOUGH:
            break
    signal.setitimer(signal.ITIMER_PROF, 0)
    tally.seconds = time.perf_counter() - began
    tally.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return tally


def main() -> int:
    """Run them all."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help=f"of {', '.join(READERS)}")
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    given = options.parse_args()
    names = given.names or list(READERS)
    rest = dict.fromkeys(names, -(-given.count // PORTION))
    jobs = [
        (name, min(PORTION, given.count - number * PORTION), given.seed * 1000 + number)
        for name in names
        for number in range(rest[name])
    ]
    tallies = {name: Tally(name) for name in names}
    bugs = 0
    with multiprocessing.get_context("spawn").Pool(given.jobs, maxtasksperchild=1) as pool:
        for portion in pool.imap(fuzz, jobs, chunksize=1):
            tally = tallies[portion.name]
            tally.add(portion)
            rest[portion.name] -= 1
            if not rest[portion.name]:
                sys.stdout.write("".join(f"{line}\n" for line in (tally, *(f"  {bug}" for bug in tally.bugs))))
                sys.stdout.flush()
                bugs += len(tally.bugs)
    return 1 if bugs else 0


if __name__ == "__main__":
    sys.exit(main())

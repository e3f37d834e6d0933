"""The deep tests: every fault at every call, the loss of power, and a million inputs for every reader.

`make torture` runs them and writes the figures to `docs/torture.md`; `--minutes` says how long each part may take,
`--points` how many points it has at most. They come in a mixed order, so that a part that is cut off has had some
of each scenario and each fault; the same `--seed` gives the same order. A bad point is printed at once, with all
that was said.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path

from sweep.deep import POWER, Limits, Tally, sweep
from sweep.disk import NotPossible

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "torture.md"
_HEAD = """# Torture

What `make torture` found when it was last run. A point is one fault at one call that changes files, in a process
of its own that really dies, fails or stops there; after each the files are checked, the command is repeated without
the fault, and the files are checked again (`tests/faults/sweep/`). Bad is what lost a byte, showed a wrong one,
touched a file of somebody else, ended without a proper message, or did not converge.
"""

_KILLED, _DARK = "Killed, failing, interrupted, two at once", "Power lost (ext4)"


def table(title: str, tally: Tally, seconds: float) -> str:
    """The figures of a sweep."""
    rows = "".join(f"| {kind} | {count:,} |\n" for kind, count in sorted(tally.points.items()))
    least, most = min(tally.coverage.values()), max(tally.coverage.values())
    return (
        f"\n## {title}\n\n{tally.points.total():,} of {tally.possible:,} points in {seconds:,.0f} s "
        f"({tally.points.total() / seconds:.1f} a second); of each of {len(tally.coverage)} scenarios "
        f"{least:.0f} to {most:.0f} %.\n\n"
        f"| fault | points |\n|---|---|\n{rows}| **bad** | **{len(tally.bad)}** |\n"
    )


def main() -> int:
    """Run what was asked for; exit code 1 if anything was bad."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--share", type=float, default=1.0)
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--points", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--kind", action="append", default=[])
    given = options.parse_args()
    bad: list[str] = []
    command = "python tests/faults/torture.py " + " ".join(sys.argv[1:])
    text = f"{_HEAD}\n{datetime.date.today():%d %B %Y}: `{command.strip()}`, seed {given.seed}\n"
    sys.stderr.write(f"seed {given.seed}\n")

    limits = Limits(share=given.share, minutes=given.minutes, points=given.points, seed=given.seed)
    for title, kinds in ((_KILLED, tuple(given.kind)), (_DARK, (POWER,))):
        began = time.monotonic()
        try:
            tally = sweep(limits, kinds)
        except NotPossible as why:
            text += f"\n## {title}\n\nNot played here: {why}.\n"
            continue
        text += table(title, tally, time.monotonic() - began)
        sys.stderr.write(text)
        bad += [f"{verdict.point}: {verdict.problems}" for verdict in tally.bad]
    if given.inputs:
        fuzzed = subprocess.run(
            [sys.executable, str(HERE / "fuzz.py"), "--count", str(given.inputs)],
            capture_output=True,
            text=True,
            check=False,
        )
        text += f"\n## Readers\n\n```\n{fuzzed.stdout}```\n"
        bad += [fuzzed.stderr] if fuzzed.returncode else []
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text + "".join(f"\n{line}" for line in bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

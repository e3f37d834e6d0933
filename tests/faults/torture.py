"""The deep tests: every fault at every call, the loss of power, and a million inputs for every reader.

`make torture` runs them and writes the figures to `docs/torture.md`; `--minutes` says how long each part may take,
`--share` which part of the points is played at most.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path

from sweep.deep import Tally, blackout, sweep
from sweep.power import NotPossible

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "torture.md"
_HEAD = """# Torture

What `make torture` found when it was last run. A point is one fault at one call that changes files, in a process
of its own that really dies, fails or stops there; after each the files are checked, the command is repeated without
the fault, and the files are checked again (`tests/faults/sweep/`). Bad is what lost a byte, showed a wrong one,
touched a file of somebody else, ended without a proper message, or did not converge.
"""


def table(title: str, tally: Tally, seconds: float) -> str:
    """The figures of a sweep."""
    rows = "".join(f"| {kind} | {count:,} |\n" for kind, count in sorted(tally.points.items()))
    total = f"| all, in {tally.scenarios} scenarios and {seconds:.0f} s | {tally.points.total():,} |\n"
    return f"\n## {title}\n\n| fault | points |\n|---|---|\n{rows}{total}| **bad** | **{len(tally.bad)}** |\n"


def main() -> int:
    """Run what was asked for; exit code 1 if anything was bad."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--share", type=float, default=1.0)
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--kind", action="append", default=[])
    options.add_argument("--verbose", action="store_true")
    given = options.parse_args()
    bad: list[str] = []
    command = "python tests/faults/torture.py " + " ".join(sys.argv[1:])
    text = f"{_HEAD}\n{datetime.date.today():%d %B %Y}: `{command.strip()}`\n"

    began = time.monotonic()
    swept = sweep(given.share, given.minutes, tuple(given.kind))
    text += table("Killed, failing, interrupted, two at once", swept, time.monotonic() - began)
    try:
        began = time.monotonic()
        dark = blackout(given.share, given.minutes)
        text += table("Power lost (ext4)", dark, time.monotonic() - began)
    except NotPossible as why:
        dark = Tally()
        text += f"\n## Power lost\n\nNot played here: {why}.\n"
    for verdict in (*swept.bad, *dark.bad):
        bad.append(f"{verdict.point}: {verdict.problems}\n{verdict.said if given.verbose else ''}")
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

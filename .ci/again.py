"""Decide about tests that failed in CI: each must pass several times by itself, or the commit fails.

A machine of CI pauses, and a test that loses a race only then must not cost a whole commit. A fault does not go
away when it is run alone. What failed is printed either way, and is worth a test that cannot lose the race.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

#: The last run's failures, as pytest keeps them.
FAILED = Path(".pytest_cache/v/cache/lastfailed")
#: More failures than these are no accident.
MOST = 3
TIMES = 5


def main() -> int:
    """Run what failed again; returns the exit code."""
    if not FAILED.is_file():
        print("no test is known to have failed", file=sys.stderr)
        return 1
    failed = sorted(json.loads(FAILED.read_text("utf-8")))
    if not 0 < len(failed) <= MOST:
        print(f"{len(failed)} tests failed, which is no accident", file=sys.stderr)
        return 1
    for _ in range(TIMES):
        code = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *failed]).returncode
        if code != 0:
            return code
    print(f"failed once, then passed {TIMES} times: {', '.join(failed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

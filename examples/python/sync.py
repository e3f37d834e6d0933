"""Bring the models of this directory into place, and print where each one is.

python sync.py
"""

import sys
from pathlib import Path

from synapse_sync import SynapseError, Workspace


def main() -> int:
    with Workspace(Path(__file__).parent) as workspace:
        report = workspace.sync()
        print(report.summary())
        for error in report.errors:  # failures of single files; everything else was placed
            print(f"{error.subject}: {error}", file=sys.stderr)
        for model in workspace.lockfile.models:
            for path in workspace.paths(model.name):
                print(f"{model.name}: {path}")
    return report.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SynapseError as error:  # known before the first byte: a mistake, a missing token, a full disk
        print(f"{error}\n{error.hint or ''}", file=sys.stderr)
        sys.exit(error.exit_code)

"""`python -m synapse_sync.demo`: run the hub until it is interrupted, and print how to point the command at it."""

from __future__ import annotations

import contextlib
import sys
import threading

from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.serve import exports


def main() -> None:
    """Run the hub until Ctrl-C; the first lines that it writes are `export` commands for a shell to evaluate."""
    if sys.argv[1:]:
        asked = sys.argv[1:] in (["-h"], ["--help"])
        stream = sys.stdout if asked else sys.stderr
        stream.write("Usage: python -m synapse_sync.demo > hub.env\n\n  Run a small hub of models until Ctrl-C.\n")
        stream.write("  It prints the variables that lead synapse to it: `. hub.env` sets them in a shell.\n")
        sys.exit(0 if asked else 2)
    with Hub() as hub:
        catalogue.populate(hub)
        sys.stdout.writelines(f"{line}\n" for line in exports(hub.environment()))
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()

"""`python -m synapse_sync`: the command, where it is not on the path."""

import sys

from synapse_sync.cli.main import command

if __name__ == "__main__":
    sys.exit(command())

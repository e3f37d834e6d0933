"""`python -m synapse_sync`: the command, where it is not on the path."""

import sys

from synapse_sync.cli.start import quiet_interrupt

if __name__ == "__main__":
    quiet_interrupt()
    from synapse_sync.cli.main import command

    sys.exit(command())

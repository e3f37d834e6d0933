"""`python -m synapse_sync`: the command, where it is not on the path."""

from synapse_sync.cli.main import entry

if __name__ == "__main__":
    entry()

"""Start: Ctrl-C before anything is imported ends the command quietly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

#: The command is interrupted at this import, which is the first of `entry`.
STRUCK = """
import os, signal, sys

class Strike:
    def find_spec(self, name, path=None, target=None):
        if name == "synapse_sync.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Strike())
from synapse_sync.cli.start import entry
entry()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of a process to itself")
def test_an_interrupt_at_the_first_import_is_quiet() -> None:
    done = subprocess.run([sys.executable, "-c", STRUCK, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.skipif(os.name == "nt", reason="signals of a process to itself")
def test_an_interrupt_that_is_ignored_stays_so() -> None:
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{STRUCK}"
    done = subprocess.run(
        [sys.executable, "-c", ignoring, "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("synapse ")

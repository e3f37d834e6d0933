"""The front door: how the process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo import catalogue

ENTRY = "from synapse_sync.cli.main import entry\n"


def run(code: str, *words: str, **how: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ENTRY + code, *words]
    return subprocess.run(command, text=True, check=False, **{"capture_output": True, **how})  # type: ignore


def test_all_is_written_and_the_code_is_told(project: Project, tmp_path: Path) -> None:
    project.manifest(f'[models]\neyes = "civitai:{catalogue.EYES}"\n')
    synced = run("entry()", "sync", "-C", str(project.path))
    assert synced.returncode == 0
    assert synced.stdout.endswith(", 1 placed\n")
    answer = tmp_path / "answer"
    with answer.open("w") as file:
        told = run("entry()", "list", "--json", "-C", str(project.path), capture_output=False, stdout=file)
    assert told.returncode == 0
    assert answer.read_text() == project("list", "--json").out
    assert run("entry()", "no-such-verb").returncode == 2
    assert run("entry()", "status", "-C", str(tmp_path)).returncode == 2


def test_python_does_not_take_itself_down(project: Project) -> None:
    code = "class Last:\n    def __del__(self): print('taken down')\nlast = Last()\n"
    assert run(code + "entry()", "--version").stdout.startswith("synapse ")
    assert "taken down" not in run(code + "entry()", "--version").stdout
    assert "taken down" in run(code + "import sys; sys.exit(0)").stdout, "the test can tell"


def test_what_was_left_for_the_end_is_done() -> None:
    assert "bye" in run("import atexit; atexit.register(print, 'bye')\nentry()", "--version").stdout
    failing = run("import atexit; atexit.register(lambda: 1 / 0)\nentry()", "no-such-verb")
    assert failing.returncode == 2
    assert failing.stderr.count("ZeroDivisionError") == 1


def test_other_threads_are_waited_for() -> None:
    code = (
        "import threading, time\n"
        "ready = threading.Event()\n"
        "def last(): ready.wait(); time.sleep(0.05); print('thread done')\n"
        "threading.Thread(target=last).start()\n"
        "ready.set(); entry()"
    )
    assert "thread done" in run(code, "--version").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_answer_that_cannot_be_written_is_an_error(project: Project) -> None:
    with Path("/dev/full").open("w") as full:
        lost = run("entry()", "--version", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert lost.returncode not in (0, 130)
    assert "No space left on device" in lost.stderr


def test_an_answer_that_nobody_reads(project: Project) -> None:
    project.manifest(f'[models]\neyes = "civitai:{catalogue.EYES}"\n')
    project("sync")
    reader, writer = os.pipe()
    os.close(reader)
    unread = run(
        "entry()", "list", "-C", str(project.path), capture_output=False, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (unread.returncode, unread.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_streams_that_are_closed_from_the_start(project: Project, closed: str) -> None:
    """As some schedulers have them: it is done all the same, and the code tells."""

    def code(*words: str) -> int:
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", f"{ENTRY}entry()", *words]
        return subprocess.run([*command, "-C", str(project.path)], check=False).returncode

    project.manifest(f'[models]\neyes = "civitai:{catalogue.EYES}"\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    assert code("sync") == 0
    assert len(project.tree()) == 2
    assert code("sync", "--only", "no-such-model") == 2
    assert code("login", "civitai") == 2
    assert code("login", "civitai", "--token-stdin") == 2

"""`synapse demo --serve`: a hub for a shell, until Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_sync.demo import catalogue
from synapse_sync.demo.serve import exports

COMMAND = [sys.executable, "-m", "synapse_sync"]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*COMMAND, "demo", "--serve"], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_a_shell_is_pointed_at_the_hub(serving: subprocess.Popen[str], tmp_path: Path) -> None:
    assert serving.stderr is not None and serving.stdout is not None
    talk = ""
    while "synapse search" not in talk:
        talk += serving.stderr.readline()
    (line,) = re.findall(r"^  bash, zsh +(\. .+)$", talk, re.MULTILINE)
    assert re.search(r"^  fish +source .+\.fish$", talk, re.MULTILINE)
    assert re.search(r"^  PowerShell +\. '.+\.ps1'$", talk, re.MULTILINE)
    project = tmp_path / "project"
    project.mkdir()
    call = " ".join(COMMAND)
    script = (
        f"{line}\n{call} init && {call} add civitai:{catalogue.PORTRAIT} && {call} sync && {call} whoami civitai"
        # as `synapse gallery` advises
        f" && sed -i.bak 's/^name = .*/&\\npreviews = true/' synapse.toml && {call} sync && {call} gallery"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["sh", "-c", script], env=environment, cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 with a preview" in done.stdout + done.stderr
    assert "1 placed" in done.stdout and "newcomer" in done.stdout
    assert list((tmp_path / "home").rglob("*")) == [], "the user's own store and settings are left alone"
    serving.send_signal(signal.SIGINT)
    out, rest = serving.communicate(timeout=30)
    assert (serving.returncode, rest.splitlines()[-1]) == (0, "The hub has ended.")
    assert all(line.startswith("export ") for line in out.splitlines()), "a shell can evaluate it"
    assert {path.name for path in tmp_path.iterdir()} == {"home", "project"}, "nothing is left behind"


def test_serve_and_keep_exclude_one_another() -> None:
    done = subprocess.run([*COMMAND, "demo", "--serve", "--keep", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--keep" in done.stderr


@pytest.mark.skipif(shutil.which("sh") is None, reason="a POSIX shell")
def test_exports_are_quoted() -> None:
    (line,) = exports({"A": "it's $HOME"})
    done = subprocess.run(["sh", "-c", f'{line}; printf %s "$A"'], capture_output=True, text=True, check=True)
    assert done.stdout == "it's $HOME"

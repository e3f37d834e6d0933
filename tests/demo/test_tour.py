"""`synapse demo`: the newcomer's first command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from synapse_sync.cli.main import main
from synapse_sync.demo.tour import tour


def test_the_demo_does_the_whole_job_on_a_bare_machine(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "synapse_sync.cli.main", "demo"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("lock", "sync", "lock --upgrade", "remove detail", "verify --repair"):
        assert f"$ synapse {step}" in done.stdout
    assert "in sync: 8 files" in done.stdout + done.stderr
    assert list(home.rglob("*")) == [], "the demo leaves the user's home alone"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"], "and nothing behind"


def test_the_demo_keeps_its_tree_when_told(tmp_path: Path) -> None:
    said: list[str] = []
    before = dict(os.environ)
    assert tour(lambda words: main(words), keep=str(tmp_path / "kept"), out=said.append) == 0
    assert dict(os.environ) == before
    assert (tmp_path / "kept/studio/ComfyUI/models/checkpoints/portrait_v2.safetensors").is_file()
    assert tour(lambda words: main(words), keep=str(tmp_path / "kept"), out=said.append) == 2


def test_the_demo_fails_if_a_command_does(tmp_path: Path) -> None:
    said: list[str] = []
    assert tour(lambda words: 5, keep=str(tmp_path / "kept"), out=said.append) == 1
    assert any("ended with 5" in text for text in said)


def test_the_demo_ends_with_the_next_steps(tmp_path: Path) -> None:
    said: list[str] = []
    assert tour(lambda words: main(words), keep=str(tmp_path / "kept"), out=said.append) == 0
    for line in ("synapse init", "synapse login civitai", "synapse add ", "synapse sync", "synapse demo --serve"):
        assert line in said[-1]

"""A command that has nothing to do starts at once: nothing of weight is imported for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault

HEAVY = {
    "httpx",
    "httpx2",
    "keyring",
    "certifi",
    "urllib3",
    "huggingface_hub",
    "tomlkit",
    "rich",
    "filelock",
    "msgspec",
    "blake3",
    "asyncio",
    "yaml",
}
SHOW = """
import runpy, sys
sys.argv[0] = "synapse"
try:
    runpy.run_module("synapse_sync.cli.main", run_name="__main__")
finally:
    print("MODULES", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def imported(project: Project, *words: str) -> set[str]:
    command = [sys.executable, "-c", SHOW, *words]
    done = subprocess.run(
        command, cwd=project.path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES"))
    return set(line.split())


@pytest.mark.parametrize("words", [("sync",), ("status",), ("status", "--json"), ("--help",), ("--version",)])
def test_nothing_heavy_is_imported_for_nothing(project: Project, words: tuple[str, ...]) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    assert not imported(project, *words) & HEAVY


def test_the_heavy_ones_are_seen_by_this_test(project: Project) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    found = imported(project, "sync")
    assert "httpx" in found
    assert "urllib3" not in found, "plain downloads go through the lane"


def test_an_unusual_answer_is_read_by_a_library(project: Project) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    project.hub.faults.add("/api/download", Fault(status=503))
    assert "urllib3" in imported(project, "sync")

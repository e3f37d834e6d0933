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
#: The rooms of the package that no start needs: what downloads, places, or reads the files of others.
_WORK = ("transfer", "suppliers", "interop", "gallery", "demo", "api")
#: What each start that people wait for does without: packages, and rooms or files of ours. On a busy machine,
#: `--help` and `--version` cost 1.3 times the time of `python -c "import click"`, `status` in sync twice. A bare
#: `sync` in sync costs half of it; `cli/test_quick.py` has its list.
WITHOUT = {
    ("--help",): (HEAVY | {"tomli", "hmac"}, ("net", "sources", "layouts", "workspace", "project", "core.plan")),
    ("--version",): (HEAVY | {"tomli", "hmac"}, ("net", "sources", "layouts", "workspace", "project", "core.plan")),
    ("status",): (HEAVY, ("layouts", "core.lockfile", "core.manifest", "engine.survey", "net.api", "cli.list")),
    ("list",): (HEAVY - {"msgspec"}, ("net.api", "net.wire", "sources.civitai", "engine.sync", "cli.status")),
}
SHOW = """
import runpy, sys
sys.argv[0] = "synapse"
try:
    runpy.run_module("synapse_sync.cli.main", run_name="__main__")
finally:
    print("MODULES", *sorted(sys.modules))
"""


def imported(project: Project, *words: str) -> set[str]:
    command = [sys.executable, "-c", SHOW, *words]
    done = subprocess.run(
        command, cwd=project.path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    names = next(line for line in done.stdout.splitlines() if line.startswith("MODULES")).split()
    return {name.partition(".")[0] for name in names} | {name for name in names if name.startswith("synapse_sync.")}


@pytest.mark.parametrize("words", WITHOUT, ids=" ".join)
def test_a_start_does_without(project: Project, words: tuple[str, ...]) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    packages, rooms = WITHOUT[words]
    found = imported(project, *words)
    assert "click" in found, "the test can tell"
    assert not found & packages
    ours = tuple(f"synapse_sync.{room}" for room in (*_WORK, *rooms))
    assert not [name for name in found if name in ours or name.startswith(tuple(f"{room}." for room in ours))]


@pytest.mark.parametrize("words", [("sync",), ("status",), ("status", "--json"), ("--help",), ("--version",)])
def test_nothing_heavy_is_imported_for_nothing(project: Project, words: tuple[str, ...]) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    assert not imported(project, *words) & HEAVY


def test_the_heavy_ones_are_seen_by_this_test(project: Project) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    found = imported(project, "sync")
    assert "httpx" in found
    assert not {"rich", "pygments"} & found, "httpx comes without its own command line"
    assert "urllib3" not in found, "plain downloads go through the lane"


def test_an_unusual_answer_is_read_by_a_library(project: Project) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    project.hub.faults.add("/api/download", Fault(status=503))
    assert "urllib3" in imported(project, "sync")

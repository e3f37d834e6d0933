"""Generated histories of two branches, merged by the real git: a lock follows, and no agreed pin moves.

`MERGES=200 pytest -s tests/black_box/test_histories.py` merges that many pairs, and prints what became of them.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from world import Project

from synapse_sync.core.lockfile import LockedModel, parse_lockfile
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import InvalidLockfile

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")
PAIRS = int(os.environ.get("MERGES", "6"))
NAMES = ("ada", "bea", "cleo", "dora", "eva", "fay", "gus", "hal", "ida", "jo", "kim", "lou")
HEAD = '[targets.t]\nlayout = "flat"\nroot = "ui"\n\n[models]\n'


@dataclass
class Branch:
    """One checkout with generated work on it; `lines` are those of the manifest, by the name of the model."""

    project: Project
    dice: random.Random
    lines: dict[str, str] = field(default_factory=dict)

    def work(self) -> None:
        """One thing that people do to a manifest and its lockfile."""
        deeds: list[Callable[[], None]] = [self.add, self.add, self.remove, self.upgrade, self.regroup, self.rename]
        self.dice.choice(deeds)()

    def add(self) -> None:
        if free := [name for name in NAMES if name not in self.lines]:
            name = self.dice.choice(free)
            more = self.dice.choice(([], ["--group", "g"], ["--group", "g", "--group", "h"]))
            self.project("add", f"./{name}.safetensors", "--name", name, "--type", "lora", *more)

    def remove(self) -> None:
        if len(self.lines) > 1:
            self.project("remove", self.dice.choice(sorted(self.lines)))

    def upgrade(self) -> None:
        """The same line, and another pin."""
        if self.lines:
            name = self.dice.choice(sorted(self.lines))
            (source,) = (value["source"] for value in [tomllib.loads(self.lines[name])[name]])
            write(self.project.path / source, self.dice.randrange(1000))
            self.project("lock", "--upgrade-model", name)

    def regroup(self) -> None:
        if self.lines:
            name = self.dice.choice(sorted(self.lines))
            value = tomllib.loads(self.lines[name])[name]
            self.rewrite(name, f'{name} = {{ source = "{value["source"]}", type = "lora", groups = ["k"] }}')

    def rename(self) -> None:
        if free := [name for name in self.lines if f"{name}-2" not in self.lines]:
            name = self.dice.choice(sorted(free))
            self.rewrite(name, self.lines[name].replace(name, f"{name}-2", 1))

    def rewrite(self, name: str, line: str) -> None:
        path = self.project.path / "synapse.toml"
        path.write_text(path.read_text().replace(self.lines[name], line))
        self.project("lock")

    def read(self) -> None:
        text = (self.project.path / "synapse.toml").read_text()
        body = text.partition("[models]\n")[2].splitlines()
        self.lines = {line.partition(" = ")[0]: line for line in body if " = " in line}


def write(path: Path, version: int) -> None:
    path.write_bytes(safetensors_bytes(f"{path.stem} {version:03}"))


def pins(project: Project) -> dict[str, LockedModel]:
    return {model.name: model for model in parse_lockfile(project.lock_text).models}


def merged_lines(base: dict[str, str], left: dict[str, str], right: dict[str, str]) -> dict[str, str]:
    """The lines that a person would keep: what either branch did; where they disagree, what the left one did."""
    found = {}
    for name in base.keys() | left.keys() | right.keys():
        old, ours, theirs = base.get(name), left.get(name), right.get(name)
        line = theirs if ours == old else ours
        if line is not None:
            found[name] = line
    return found


def merge_one(project: Project, seed: int, git: Callable[..., int]) -> Counter[str]:
    """Generate a pair of branches, merge and lock them; returns what happened."""
    dice, seen = random.Random(seed), Counter[str]()
    for name in NAMES:
        write(project.path / f"{name}.safetensors", 0)
    project.manifest(HEAD)
    (project.path / ".gitattributes").write_text("synapse.toml merge=union\nsynapse.lock merge=union\n")
    (project.path / ".gitignore").write_text("*.safetensors\n")
    git("init", "-q", "-b", "base")
    branch = Branch(project, dice)
    kept: dict[str, tuple[dict[str, str], dict[str, LockedModel]]] = {}
    for name in ("base", "left", "right"):
        if name != "base":
            git("checkout", "-q", "-b", name, "base")
        branch.read()
        for _ in range(dice.randint(3, 8) if name == "base" else dice.randint(1, 4)):
            branch.add() if name == "base" else branch.work()
            branch.read()
        project("lock")
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", name)
        kept[name] = (branch.lines, pins(project))
    seen["conflicts"] += git("merge", "-q", "-m", "both", "left") != 0
    wanted = merged_lines(*(kept[name][0] for name in ("base", "left", "right")))
    branch.read()
    if branch.lines != wanted or len(set(wanted)) != project.path.joinpath("synapse.toml").read_text().count(
        " = {"
    ):
        seen["manifests by hand"] += 1
        project.manifest(HEAD + "".join(f"{wanted[name]}\n" for name in sorted(wanted)))
    for name in NAMES:  # a pin that is resolved again, moves
        write(project.path / f"{name}.safetensors", 5000 + seed)
    try:
        parse_lockfile(project.lock_text)
    except InvalidLockfile:
        seen["damaged"] += 1
    before = project.lock_text
    project("lock")
    project("lock", "--check")
    found = pins(project)
    assert found.keys() == wanted.keys()
    seen["repaired"] += before != project.lock_text
    (_, left), (_, right) = kept["left"], kept["right"]
    agreed = [name for name in wanted if left.get(name) is not None and left.get(name) == right.get(name)]
    seen["pins that both agree on"] += len(agreed)
    seen["of them lost"] += sum(found[name] != left[name] for name in agreed)
    alone = [(name, one) for one in (left, right) for name in wanted if name in one and name not in agreed]
    seen["pins of one branch"] += len(alone)
    seen["of them kept"] += sum(found[name] == one[name] for name, one in alone)
    return seen


@pytest.fixture
def git(project: Project) -> Callable[..., int]:
    for name in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{name}_NAME": "ada", f"GIT_{name}_EMAIL": "ada@example.org"}
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def run(*words: str) -> int:
        return subprocess.run(["git", *words], cwd=project.path, capture_output=True, check=False).returncode

    return run


def test_merged_histories_lock_and_keep_what_both_agree_on(project: Project, git: Callable[..., int]) -> None:
    total: Counter[str] = Counter()
    for seed in range(PAIRS):
        for path in project.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        seen = merge_one(project, seed, git)
        assert not seen["of them lost"], f"seed {seed}"
        assert not seen["conflicts"], f"seed {seed}"
        total += seen
        total["pairs"] += 1
    sys.stdout.write(f"{dict(total)}\n")
    assert total["pins that both agree on"] >= PAIRS

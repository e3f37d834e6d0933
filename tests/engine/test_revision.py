"""Revision: the lockfile of a commit, read by git itself, and every way in which that can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from synapse_sync.engine.revision import lockfile_at
from synapse_sync.errors import InputError, InvalidLockfile
from synapse_sync.project import Project

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="the test runs git, which is not installed")
BLOCK = """
[[model]] # {0}
name = "{0}"
requirement = "civitai:7"
reference = "civitai:7@1"
[[model.artifact]] # {0} w.safetensors
filename = "w.safetensors"
size = 3
url = "civitai:7@1"
sha256 = "{1}" # {0}
"""
ONE = "version = 1\n" + BLOCK.format("one", "a" * 64)


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """git in a fresh repository, whoever the user is; the project is a directory of it."""
    os.environ |= {
        f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    (tmp_path / "repo" / "models").mkdir(parents=True)

    def run(*words: str) -> str:
        command = ["git", "-C", str(tmp_path / "repo"), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    run("init", "-q", "-b", "main")
    return run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "repo" / "models", tmp_path / "store")


def commit(git: Callable[..., str], project: Project, text: str | None) -> None:
    lock = project.directory / "synapse.lock"
    if text is None:
        lock.unlink()
    else:
        lock.write_text(text)
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "x")


def test_each_commit_has_its_own(git: Callable[..., str], project: Project) -> None:
    commit(git, project, ONE)
    git("tag", "first")
    commit(git, project, ONE + BLOCK.format("two", "b" * 64))
    (project.directory / "synapse.lock").write_text("not what is committed")
    for revision, names in (
        ("HEAD", ["one", "two"]),
        ("HEAD~1", ["one"]),
        ("first", ["one"]),
        ("main", ["one", "two"]),
    ):
        found = lockfile_at(project, revision)
        assert [model.name for model in found.lockfile.models] == names and found.warnings == ()
        assert found.commit == git("rev-parse", f"{revision}^{{commit}}").strip()


def test_a_commit_without_a_lockfile_has_no_models(git: Callable[..., str], project: Project) -> None:
    commit(git, project, ONE)
    commit(git, project, None)
    found = lockfile_at(project, "HEAD")
    assert found.lockfile.models == () and "is not in HEAD" in found.warnings[0]


def test_a_damaged_one_loses_its_damaged_blocks_only(git: Callable[..., str], project: Project) -> None:
    commit(git, project, ONE + BLOCK.format("two", "no digest"))
    found = lockfile_at(project, "HEAD")
    assert [model.name for model in found.lockfile.models] == ["one"]
    assert "`two`" in found.warnings[0]
    commit(git, project, "version = 2\n")
    with pytest.raises(InvalidLockfile):
        lockfile_at(project, "HEAD")
    commit(git, project, "version = 1\n\x00")
    with pytest.raises(InvalidLockfile):
        lockfile_at(project, "HEAD")


@pytest.mark.parametrize("revision", ["nowhere", "HEAD~5", "--output=x", "", "a\nb", "HEAD:synapse.lock"])
def test_what_is_no_commit_is_said_so(git: Callable[..., str], project: Project, revision: str) -> None:
    commit(git, project, ONE)
    with pytest.raises(InputError, match="commit"):
        lockfile_at(project, revision)
    assert sorted(path.name for path in project.directory.iterdir()) == ["synapse.lock"]


def test_outside_a_repository_and_without_a_commit(
    git: Callable[..., str], project: Project, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no commit"):
        lockfile_at(project, "HEAD")
    outside = tmp_path / "outside"
    outside.mkdir()
    os.environ["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
    with pytest.raises(InputError, match="not in a git repository"):
        lockfile_at(Project(outside, tmp_path / "store"), "HEAD")


def test_a_git_that_came_with_the_project_is_not_run(git: Callable[..., str], project: Project) -> None:
    commit(git, project, ONE)
    trap = project.directory / "git"
    trap.write_text("#!/bin/sh\ntouch ran\n")
    trap.chmod(0o755)
    os.environ["PATH"] = str(project.directory)
    with pytest.raises(InputError, match="git is not installed"):
        lockfile_at(project, "HEAD")
    assert not (project.directory / "ran").exists()

"""The shell in action.yml and in the example's workflows, run as a runner would run it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from world import Project

from synapse_sync.demo import catalogue

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not (shutil.which("bash") and shutil.which("git")), reason="no bash or no git here"
)
ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
UPDATE = yaml.safe_load((ROOT / "examples/ci/.github/workflows/update-models.yml").read_text("utf-8"))
SYNAPSE = Path(sys.executable).with_name("synapse")
PORTRAIT = f'[targets.ui]\nroot = "ui"\n[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'
#: `gh`, as far as the workflow uses it: it notes its arguments, and says how many pull requests are open.
GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$GH_LOG"
case $1-$2 in
pr-list) cat "$GH_OPEN" ;;
pr-create) echo 1 > "$GH_OPEN" ;;
esac
"""


@pytest.fixture
def job(project: Project, tmp_path: Path) -> Path:
    """The directory for the files of a runner; commands find `synapse` and `gh`."""
    temp = tmp_path / "runner"
    bin = temp / "bin"
    bin.mkdir(parents=True)
    (bin / "synapse").symlink_to(SYNAPSE)
    (bin / "gh").write_text(GH)
    (bin / "gh").chmod(0o755)
    (temp / "open").write_text("0\n")
    os.environ |= {
        "RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(temp / "output"), "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(temp / "summary"), "GITHUB_WORKSPACE": str(project.path),
        "GH_LOG": str(temp / "gh.log"), "GH_OPEN": str(temp / "open"), "SYNAPSE": str(SYNAPSE), "DIRECTORY": ".",
        "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull,
    }  # fmt: skip
    for who in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{who}_NAME": "ada", f"GIT_{who}_EMAIL": "ada@example.org"}
    return temp


def run(step: dict[str, Any], project: Project, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the shell of a step with the options of a runner; expressions in it would be an injection."""
    assert "${{" not in step["run"]
    wanted = set(step.get("env", {}))
    assert wanted <= os.environ.keys() | more.keys() | {"CIVITAI_API_KEY", "HF_TOKEN", "GH_TOKEN", "SYNAPSE_STORE"}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(
        shell, cwd=project.path, env=os.environ | more, capture_output=True, text=True, timeout=120
    )


def named(steps: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (step,) = (step for step in steps if step.get("name") == name)
    return step


def test_the_action_checks_and_says_where(project: Project, job: Path) -> None:
    check = named(ACTION["runs"]["steps"], "Check synapse.lock")
    project.manifest(PORTRAIT)
    failed = run(check, project, REMOTE="false")
    assert failed.returncode == 8 and "::error title=synapse::synapse.lock" in failed.stderr
    project("lock")
    assert run(check, project, REMOTE="false").returncode == 0
    assert run(check, project, REMOTE="true").returncode == 0


def test_the_action_syncs_and_keeps_what_is_locked(project: Project, job: Path) -> None:
    sync = named(ACTION["runs"]["steps"], "Sync")
    project.manifest(PORTRAIT + f'eyes = "civitai:{catalogue.EYES}"\n')
    project("lock")
    assert run(sync, project, CACHE_HIT="false").returncode == 0
    assert len(project.blobs()) == 2
    project("remove", "eyes")
    done = run(sync, project, CACHE_HIT="false")
    assert done.returncode == 0, done.stderr
    assert len(project.blobs()) == 1, "the cache does not grow for ever"
    assert len(project.tree(root="ui")) == 1


def test_the_action_lists_newer_versions(project: Project, job: Path) -> None:
    step = named(ACTION["runs"]["steps"], "List newer versions")
    project.manifest(PORTRAIT)
    project("lock")
    catalogue.publish_upgrade(project.hub)
    done = run(step, project)
    assert done.returncode == 0, done.stderr
    assert (job / "output").read_text() == "outdated=1\n"
    assert "| moved | `portrait` |" in (job / "summary").read_text()


def test_every_step_of_the_action_is_run_or_is_the_installation() -> None:
    steps = [step["name"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert steps == ["Install synapse", "Check synapse.lock", "Sync", "List newer versions"]
    install = named(ACTION["runs"]["steps"], "Install synapse")["run"]
    assert subprocess.run(["bash", "-n"], input=install, text=True, check=False).returncode == 0


def test_an_update_opens_one_pull_request_and_renews_it(project: Project, job: Path, tmp_path: Path) -> None:
    steps = UPDATE["jobs"]["upgrade"]["steps"]
    upgrade, propose = named(steps, "Upgrade synapse.lock"), named(steps, "Open or renew the pull request")
    assert not {"CIVITAI_API_KEY", "HF_TOKEN"} & set(propose["env"]), "a token of a site is in one step only"
    branch = propose["env"]["BRANCH"]

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=project.path, capture_output=True, text=True, check=True)
        return done.stdout

    git("init", "-q", "-b", "main")
    git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    project.manifest(PORTRAIT)
    project("lock")
    git("add", "synapse.toml", "synapse.lock")
    git("commit", "-qm", "base")

    assert run(upgrade, project).stdout == "no newer versions\n"
    assert not (job / "output").exists()
    catalogue.publish_upgrade(project.hub)
    assert run(upgrade, project).returncode == 0
    assert (job / "output").read_text() == "changed=true\n"
    for _ in range(2):
        done = (
            run(propose, project, BRANCH=branch, GH_TOKEN="x") if _ == 0 else again(git, project, propose, branch)
        )
        assert done.returncode == 0, done.stderr
    said = (job / "gh.log").read_text().splitlines()
    created = [line for line in said if line.startswith("pr create")]
    assert len(created) == 1 and f"--head {branch} --title synapse.lock: 1 model moved" in created[0]
    assert sum(line.startswith("pr edit") for line in said) == 1
    assert git("show", "--stat", "--format=%s", f"origin/{branch}").startswith("synapse.lock: 1 model moved")
    assert "| moved | `portrait` |" in (job / "changes.md").read_text()


def again(git: Any, project: Project, step: dict[str, Any], branch: str) -> subprocess.CompletedProcess[str]:
    """The same on a fresh checkout a week later."""
    git("switch", "-q", "main")
    project("lock", "--upgrade")
    return run(step, project, BRANCH=branch, GH_TOKEN="x")


def test_the_hooks_are_commands_that_exist(project: Project) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    project.manifest(PORTRAIT)
    codes = []
    for hook in sorted(hooks, key=lambda each: each["id"]):
        assert re.search(hook["files"], "a/synapse.lock") and not re.search(hook["files"], "a/synapse.lock.bak")
        assert hook["language"] == "python" and hook["pass_filenames"] is False
        codes.append(project(*hook["entry"].split()[1:], code=None).code)
    assert codes == [8, 0]
    assert json.loads(project("lock", "--check", "--json").out)["changes"] == []

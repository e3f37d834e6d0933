"""The lockfile as people review it: diff against commits, a lock that only shows, text for pull requests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from world import Project

from synapse_sync import Workspace
from synapse_sync.demo import catalogue

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="the test runs git, which is not installed")
PORTRAIT = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'
V1, V2 = f"v1 ({catalogue.PORTRAIT_V1})", f"v2 ({catalogue.PORTRAIT_V2})"


@pytest.fixture
def committed(project: Project) -> Callable[..., None]:
    """Locks and commits a manifest; the working tree of git is the project."""
    os.environ |= {
        f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(project.path), *words], check=True, capture_output=True)

    def commit(manifest: str) -> None:
        project.manifest(manifest)
        project("lock")
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", "x")

    git("init", "-q")
    return commit


def test_against_the_last_commit_and_an_earlier_one(project: Project, committed: Callable[..., None]) -> None:
    committed(PORTRAIT)
    committed(PORTRAIT + f'eyes = "civitai:{catalogue.EYES}"\n')
    same = project("diff")
    assert (same.out, same.err) == ("", "synapse.lock against HEAD: no model differs\n")
    added = project("diff", "HEAD~1")
    assert added.out.startswith("+ eyes") and "size" in added.out
    assert added.err == "synapse.lock against HEAD~1: 1 model added\n"
    project("remove", "portrait")
    value = project("diff", "HEAD~1", "--json").json
    assert [each["name"] for each in value["added"]] == ["eyes"]
    assert [each["name"] for each in value["removed"]] == ["portrait"]
    assert value["removed"][0]["from"]["reference"] and value["warnings"] == [] and len(value["commit"]) == 40
    assert project("diff", "HEAD~1", "--format", "json").json == value


def test_an_upgrade_is_shown_before_it_is_written(project: Project, committed: Callable[..., None]) -> None:
    committed(PORTRAIT)
    before = project.lock_text
    assert "no model differs" in project("lock", "--upgrade", "--dry-run").err
    catalogue.publish_upgrade(project.hub)
    shown = project("lock", "--upgrade", "-n")
    assert shown.out.startswith(f"~ portrait  {V1} → {V2}\n")
    assert "nothing was written; it would be: 1 model moved" in shown.err
    value = project("lock", "--upgrade", "--dry-run", "--json").json
    assert value["diff"]["moved"][0]["to"]["version"] == "v2"
    table = project("lock", "--upgrade", "--dry-run", "--format", "markdown").out
    assert f"| moved | `portrait` | `{V1}` → `{V2}` |" in table
    assert project.lock_text == before and not project.tree()
    project("lock", "--upgrade", "--format", "markdown")
    assert project.lock_text != before
    assert f"`{V1}` → `{V2}`" in project("diff", "--format", "markdown").out
    with Workspace(project.path) as workspace:
        assert [each.name for each in workspace.diff().of("moved")] == ["portrait"]
        assert workspace.lock(upgrade=True, dry_run=True).diff.models == ()


@pytest.mark.parametrize(
    "words", [("--dry-run", "--check"), ("--dry-run", "--heal"), ("--check", "--format", "markdown")]
)
def test_options_that_exclude_each_other(project: Project, words: tuple[str, ...]) -> None:
    project.manifest(PORTRAIT)
    assert "cannot be combined" in project("lock", *words, code=2).err


def test_a_repository_without_commits(project: Project) -> None:
    project.manifest("[models]\n")
    subprocess.run(["git", "-C", str(project.path), "init", "-q"], check=True)
    refused = project("diff", code=2).err
    assert "no commit is in the repository" in refused and "`git commit`" in refused


def test_a_commit_that_does_not_exist(project: Project, committed: Callable[..., None]) -> None:
    committed(PORTRAIT)
    said = project("diff", "v9", code=2).err
    assert "`v9` is no commit of this repository" in said and "`git log -- synapse.lock`" in said


def test_an_earlier_commit_is_placed_and_the_present_files_stay(
    project: Project, committed: Callable[..., None]
) -> None:
    committed(PORTRAIT + f'eyes = "civitai:{catalogue.EYES}"\n')
    project("sync")
    first = project.tree()
    catalogue.publish_upgrade(project.hub)
    project.manifest(PORTRAIT)
    project("lock", "--upgrade")
    committed(PORTRAIT)
    project("sync")
    second, texts = project.tree(), (project.path / "synapse.toml").read_text() + project.lock_text
    assert second != first and len(second) == 1
    project.hub.clear_log()
    assert project("sync", "--at", "HEAD~1", "--check", code=8).out
    said = project("sync", "--at", "HEAD~1").err
    assert "a plain sync follows them" in said
    assert project.tree() == first and project.hub.requests() == [], "all of it was in the store"
    assert (project.path / "synapse.toml").read_text() + project.lock_text == texts
    assert project("sync", "--check", code=8).out, "the present lockfile wants other files"
    assert "nothing to do" in project("sync", "--at", "HEAD~1").out
    project("sync")
    assert project.tree() == second
    with Workspace(project.path) as workspace:
        assert workspace.sync(at="HEAD~1").ok and project.tree() == first
        assert workspace.sync().ok and project.tree() == second


def test_a_commit_without_the_two_files_is_not_placed(project: Project, committed: Callable[..., None]) -> None:
    committed(PORTRAIT)
    project("sync")
    subprocess.run(["git", "-C", str(project.path), "rm", "-q", "--cached", "synapse.lock"], check=True)
    subprocess.run(["git", "-C", str(project.path), "commit", "-q", "-m", "x"], check=True)
    before = project.tree()
    assert "synapse.lock is not in HEAD" in project("sync", "--at", "HEAD", code=2).err
    assert "is no commit" in project("sync", "--at", "v9", code=2).err
    assert "cannot be combined" in project("sync", "--at", "HEAD", "--locked", code=2).err
    assert project.tree() == before


def test_a_committed_manifest_needs_the_same_consent(
    project: Project, committed: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "something of the user").touch()
    committed(f'[targets.t]\nlayout = "flat"\nroot = "{elsewhere.as_posix()}"\n{PORTRAIT}')
    committed(PORTRAIT)
    project("sync")
    assert "place files in" in project("sync", "--at", "HEAD~1", code=2).err
    assert [path.name for path in elsewhere.iterdir()] == ["something of the user"]


def test_a_rollback_returns_to_the_lockfile_before(project: Project, committed: Callable[..., None]) -> None:
    eyes = PORTRAIT + f'eyes = "civitai:{catalogue.EYES}"\n'
    committed(eyes)
    project("sync")
    first, lock = project.tree(), project.lock_text
    committed(PORTRAIT)
    project("sync")
    (project.path / "unrelated.txt").write_text("x")
    committed(PORTRAIT)  # a commit that does not change the lockfile
    project.hub.clear_log()
    said = project("rollback").err
    assert "commit them to keep them" in said
    tree = project.tree()
    assert tree.pop("unrelated.txt") and tree == first and project.hub.requests() == []
    assert (project.path / "synapse.toml").read_text() == eyes and project.lock_text == lock
    assert "nothing to do" in project("sync").out
    again = project("rollback", code=7)
    assert "synapse.toml and synapse.lock changed since the last commit" in again.err
    assert project.lock_text == lock


def test_a_rollback_that_fails_changes_neither_file(project: Project, committed: Callable[..., None]) -> None:
    committed(PORTRAIT)
    assert "no commit has another synapse.lock" in project("rollback", code=2).err
    project("sync")
    eyes = PORTRAIT + f'eyes = "civitai:{catalogue.EYES}"\n'
    committed(eyes)
    committed(PORTRAIT)
    place = project.path / "models/embeddings/clear-eyes.safetensors"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"mine")
    lock = project.lock_text
    assert "were not changed" in project("rollback", code=7).err
    assert (project.path / "synapse.toml").read_text() == PORTRAIT and project.lock_text == lock
    assert place.read_bytes() == b"mine"

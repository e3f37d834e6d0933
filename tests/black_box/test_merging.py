"""Two branches of a project, merged by the real git."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from cases import case
from world import Project

from synapse_sync.demo import catalogue

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")
LEFT, RIGHT, BASE = f"civitai:{catalogue.EYES}", f"civitai:{catalogue.SHARPEN}", f"civitai:{catalogue.DETAIL}"


@pytest.fixture
def git(project: Project):
    for name in ("AUTHOR", "COMMITTER"):
        os.environ[f"GIT_{name}_NAME"] = "ada"
        os.environ[f"GIT_{name}_EMAIL"] = "ada@example.org"
    os.environ["GIT_CONFIG_GLOBAL"] = "/dev/null"
    os.environ["GIT_CONFIG_SYSTEM"] = "/dev/null"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=project.path, capture_output=True, text=True, check=False)

    assert run("init", "-q", "-b", "main").returncode == 0
    return run


def branches(project: Project, git, left: list[str], right: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command on each of two branches that begin here, and merge one into the other."""
    git("add", "-A")
    assert git("commit", "-qm", "base").returncode == 0
    for branch, words in (("left", left), ("right", right)):
        git("checkout", "-q", "-b", branch, "main")
        project(*words)
        git("add", "-A")
        assert git("commit", "-qm", branch).returncode == 0
    return git("merge", "-q", "-m", "both", "left")


@case(173)
@pytest.mark.parametrize(
    "first", [[], ["add", BASE], ["add", BASE, "civitai:58390@62833"]], ids=["none", "one", "two"]
)
@pytest.mark.parametrize("more", [[], ["--type", "lora", "--group", "g"]], ids=["short", "long"])
def test_additions_of_two_branches_merge(project: Project, git, first: list[str], more: list[str]) -> None:
    project("init", "--layout", "flat", "--root", "ui")
    if first:
        project(*first)
    before = project.path.joinpath("synapse.toml").read_text()
    merged = branches(project, git, ["add", LEFT, *more], ["add", RIGHT, *more])
    assert merged.returncode == 0, merged.stdout
    project("lock", "--check")
    assert {"clear-eyes", "4x-sharpen"} <= {model["name"] for model in project("list", "--json").json["models"]}
    text = project.path.joinpath("synapse.toml").read_text()
    assert text.count('groups = ["g"]') == (2 if more else 0)
    assert set(before.splitlines()) <= set(text.splitlines())


def test_a_sorted_list_merges_without_the_rule_where_the_places_differ(project: Project, git) -> None:
    names = {"b": LEFT, "m": RIGHT, "y": BASE}
    lines = "".join(f'{name} = "{reference}"\n' for name, reference in names.items())
    project.manifest(f'[targets.t]\nlayout = "flat"\nroot = "ui"\n[models]\n{lines}')
    (project.path / ".gitattributes").write_text("synapse.lock merge=union\n")
    project("lock")
    add = ["add", "civitai:58390@62833", "--name"]
    merged = branches(project, git, [*add, "c"], ["add", "civitai:58390@62834", "--name", "n"])
    assert merged.returncode == 0, merged.stdout
    project("lock", "--check")
    assert [m["name"] for m in project("list", "--json").json["models"]] == ["b", "c", "m", "n", "y"]


def test_additions_and_removals_merge(project: Project, git) -> None:
    project("init", "--layout", "flat", "--root", "ui")
    project("add", BASE, RIGHT)
    merged = branches(project, git, ["add", LEFT, "--name", "0-eyes"], ["remove", "detail-slider"])
    assert merged.returncode == 0, merged.stdout
    project("lock", "--check")
    assert [m["name"] for m in project("list", "--json").json["models"]] == ["0-eyes", "4x-sharpen"]


@case(173)
def test_a_table_that_lost_a_line_in_a_merge_is_named(project: Project, git) -> None:
    """Tables that people write over several lines are at risk: git keeps a line once that both have."""
    project("init", "--layout", "flat", "--root", "ui")
    git("add", "-A")
    git("commit", "-qm", "base")
    start = project.path.joinpath("synapse.toml").read_text()
    for branch, reference in (("left", LEFT), ("right", RIGHT)):
        git("checkout", "-q", "-b", branch, "main")
        project.manifest(f'{start}\n[models.{branch}]\nsource = "{reference}"\ntype = "lora"\n')
        project("lock")
        git("commit", "-qam", branch)
    assert git("merge", "-q", "-m", "both", "left").returncode == 0
    assert project.path.joinpath("synapse.toml").read_text().count('type = "lora"') == 1, "the damage"
    assert "`right`" in project("lock", "--check", code=8).err


@case(173)
def test_two_versions_under_one_name_make_no_model_with_the_files_of_both(project: Project, git) -> None:
    """Git splices the end of one block into the other, and the result is valid TOML."""
    project("init", "--layout", "flat", "--root", "ui")
    add = ["add", "--name", "z"]
    branches(project, git, [*add, "civitai:58390@62833"], [*add, "civitai:58390@62834"])
    manifest = project.path / "synapse.toml"
    kept = [line for line in manifest.read_text().splitlines() if "62833" not in line]
    manifest.write_text("\n".join(kept) + "\n")
    assert project.lock_text.count("[[model]]") == 1 and project.lock_text.count("[[model.artifact]]") == 2
    for words in (["lock", "--check"], ["sync", "--locked"], ["sync"], ["status"]):
        assert "`synapse lock`" in project(*words, code=2).err
    said = project("lock").err
    assert "resolved again: `z`" in said
    (model,) = project.locked()
    assert "62834" in model["reference"] and len(model["artifact"]) == 1
    project("sync", "--locked")
    assert len(project.tree(root="ui")) == 1


def test_a_damaged_block_is_reported_before_the_lines_around_it(project: Project) -> None:
    """The message of the reader has several lines: an excerpt with a caret. It follows the sentence."""
    project("init", "--layout", "flat", "--root", "ui")
    project("add", BASE, "--name", "a")
    path = project.path / "synapse.lock"
    path.write_text(project.lock_text.replace('name = "a"', 'name = "a"\nname = "b"'))
    said = project("lock").err
    first, _, rest = said.partition("\n")
    assert first == "warning: synapse.lock was damaged; resolved again: `a`"
    assert "synapse.lock:" in rest and "(" not in first and ")" not in rest.split("^")[-1]

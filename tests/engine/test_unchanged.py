from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workbench import CHECKPOINT, EYES, MODELS, declare, target, workspace
from world import Project

from synapse_sync.engine.unchanged import fingerprint, unchanged_files

BYTES = st.binary(max_size=20)


def count(project: Project) -> int | None:
    with workspace(project.path) as open_workspace:
        return open_workspace.unchanged()


@given(st.tuples(BYTES, BYTES, st.text(), st.text()), st.tuples(BYTES, BYTES, st.text(), st.text()))
def test_different_states_have_different_fingerprints(
    one: tuple[bytes, bytes, str, str], two: tuple[bytes, bytes, str, str]
) -> None:
    def printed(state: tuple[bytes, bytes, str, str]) -> str | None:
        try:
            manifest, lockfile, settings, home = state
            return fingerprint(sha256(manifest).digest(), sha256(lockfile).digest(), settings, home)
        except UnicodeEncodeError:
            return None

    if (first := printed(one)) is not None and (second := printed(two)) is not None:
        assert (first == second) == (one == two)


def test_a_complete_sync_is_remembered(synced: Project) -> None:
    assert count(synced) == 2


def test_targets_that_share_a_directory_count_each_file_once(project: Project) -> None:
    ways = [target(name, root) for name, root in (("a", "ui"), ("b", "ui"), ("c", "./ui"))]
    models = {"eyes": "a", "sharpen": "b", "portrait": "c"}
    project.manifest(
        "\n".join([*ways, *(f'[models.{n}]\nsource = "{MODELS[n]}"\ntargets = ["{t}"]' for n, t in models.items())])
    )
    assert "3 placed" in project("sync").out
    assert count(project) == len(project.tree(root="ui")) == 3
    assert "in sync: 3 files" in project("status").out and "in sync: 3 files" in project("sync").out


def test_nothing_is_known_of_another_store(synced: Project, tmp_path: Path) -> None:
    assert unchanged_files(tmp_path / "store", "0" * 16, "state") is None


@pytest.mark.parametrize(
    "act",
    [
        lambda path: (path / EYES).unlink(),
        lambda path: (path / EYES).write_bytes(b"other") if (path / EYES).chmod(0o644) is None else None,
        lambda path: os.utime(path / EYES, (1, 1)),
        lambda path: (path / EYES).rename(path / "moved"),
        lambda path: (path / "synapse.toml").write_text(declare("portrait")),
        lambda path: (path / "synapse.toml").open("a").write("# a comment\n"),
        lambda path: (path / "synapse.lock").unlink(),
        lambda path: next((path / ".synapse").glob("receipt-*.json")).unlink(),
        lambda path: next((path / ".synapse").glob("receipt-*.json")).write_text("{}"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_any_change_takes_the_careful_way(synced: Project, act: object) -> None:
    assert callable(act)
    act(synced.path)
    assert count(synced) is None


def test_a_vanished_blob_behind_a_link_is_noticed(project: Project) -> None:
    project.manifest(declare("eyes", head=target("t", ".", "symlink")))
    project("sync")
    assert count(project) == 1
    (project.path / EYES).resolve().unlink()
    assert count(project) is None


def test_settings_count_too(synced: Project, sandbox: Path) -> None:
    (sandbox / "config.toml").write_text('link-mode = "copy"\n')
    assert count(synced) is None
    synced("sync")
    assert not (synced.path / CHECKPOINT).samefile(next((synced.store / "blobs").rglob(synced.blobs()[0])))
    assert count(synced) == 2


def test_an_incomplete_sync_is_not_remembered(project: Project) -> None:
    project.manifest(declare("portrait", "eyes"))
    (project.path / EYES).parent.mkdir(parents=True)
    (project.path / EYES).write_bytes(b"mine")
    project("sync", code=7)
    assert count(project) is None
    project("sync", code=7)


def test_a_partial_sync_is_not_taken_for_a_whole_one(synced: Project) -> None:
    text = declare("portrait", "eyes") + f'sharpen = "{MODELS["sharpen"]}"\n'
    synced.manifest(text)
    synced("sync", "--only", "sharpen")
    assert count(synced) is None
    synced("sync")
    assert count(synced) == 3


def test_a_target_that_went_away_takes_the_careful_way(project: Project) -> None:
    project.manifest(declare("eyes", head=target("a", "a") + target("b", "b")))
    project("sync")
    assert count(project) == 2
    (project.path / "b").rename(project.path / "c")
    assert count(project) is None


def test_nothing_to_do_loads_nothing_heavy(synced: Project) -> None:
    code = (
        "import sys; from synapse_sync.cli.main import main\n"
        f"assert main(['sync', '-C', {str(synced.path)!r}]) == 0\n"
        "heavy = {'httpx', 'huggingface_hub', 'rich', 'blake3', 'msgspec', 'tomlkit', 'filelock', 'ssl'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("change", ["the target is renamed", "the model moves to another target"])
def test_a_file_that_another_target_of_the_project_wants_is_not_said_to_be_another_projects(
    project: Project, change: str
) -> None:
    both = target("a", "ui") + target("b", "ui")
    before, after = (target("a", "ui"), target("b", "ui")) if "renamed" in change else (both, both)
    model = f'[models.eyes]\nsource = "{MODELS["eyes"]}"\n'
    project.manifest(before + model + ("" if before != after else 'targets = ["a"]\n'))
    project("sync")
    project.manifest(after + model + ("" if before != after else 'targets = ["b"]\n'))
    assert "another target or project wants it" in project("status").out
    project("sync")
    assert len(project.tree(root="ui")) == 1


def test_files_of_a_model_that_is_not_locked_yet_are_not_said_to_be_unwanted(synced: Project) -> None:
    manifest = synced.path / "synapse.toml"
    manifest.write_text(manifest.read_text().replace("portrait =", 'portrait = "civitai:58390@62833"\nold ='))
    manifest.write_text(manifest.read_text().replace("\nold =", "\n#"))
    said = synced("status").err
    assert "1 file is kept until all models are locked" in said and "not wanted" not in said

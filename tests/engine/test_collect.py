from __future__ import annotations

import json
import os
import re
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from workbench import CHECKPOINT, blob, content_of, declare, sha256, target
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.engine import collect as collecting
from synapse_sync.engine.collect import collect, plan_collection
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.locks import hold, lock_path


@pytest.fixture
def portrait(project: Project) -> bytes:
    """A project that once wanted the portrait, and now wants something else."""
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    project.manifest(declare("eyes"))
    project("sync")
    return content_of(project.hub, catalogue.PORTRAIT_V1)


def later() -> float:
    return time.time() + 2 * collecting.GRACE


def test_a_collection_at_once_waits_for_the_commands_of_known_projects(project: Project, portrait: bytes) -> None:
    """A lock that is under way may have downloaded what no lockfile names yet."""
    (note,) = (project.store / "projects").glob("*.json")
    plan = plan_collection(project.store, at_once=True)
    assert [found.sha256 for found in plan.drop] == [sha256(portrait)]
    waited: list[str] = []
    with ExitStack() as held:
        held.enter_context(hold(lock_path(project.store, f"project-{note.stem}"), "a lock", on_wait=print))

        def release(line: str) -> None:
            assert blob(project, portrait).exists()
            waited.append(line)
            held.close()

        assert collect(project.store, plan, release, at_once=True) == len(portrait)
    assert len(waited) == 1


def test_what_nobody_uses_goes_and_the_rest_stays(project: Project, portrait: bytes, without_grace: None) -> None:
    project("store", "gc", "--dry-run")
    assert blob(project, portrait).exists()
    assert "nothing was dropped" in project("store", "gc", code=2).err
    assert blob(project, portrait).exists()
    assert project("store", "gc", "--yes", "--json").json["freed_bytes"] == len(portrait)
    assert len(project.blobs()) == 1 and not blob(project, portrait).exists()
    assert "nothing to do" in project("sync").out


def test_a_young_blob_may_belong_to_a_sync_under_way(project: Project, portrait: bytes) -> None:
    assert plan_collection(project.store).drop == ()
    assert [found.sha256 for found in plan_collection(project.store, now=later()).drop] == [sha256(portrait)]


def test_what_a_lockfile_names_is_in_use_though_nothing_is_placed(project: Project, without_grace: None) -> None:
    project.manifest(declare("portrait"))
    project("sync")
    shutil.rmtree(project.path / "models")
    shutil.rmtree(project.path / ".synapse")
    assert plan_collection(project.store).in_use == 1


def test_what_a_tree_holds_is_in_use_though_the_lockfile_is_gone(project: Project, without_grace: None) -> None:
    project.manifest(declare("portrait"))
    project("sync")
    (project.path / "synapse.lock").unlink()
    assert plan_collection(project.store).in_use == 1


def test_bytes_that_nobody_can_give_again_are_kept(project: Project, portrait: bytes, without_grace: None) -> None:
    precious = project.path / "precious"
    precious.write_bytes(b"precious")
    BlobStore(project.store).import_file(precious, sha256=sha256(b"precious"))
    assert "kept" in project("store", "gc", "--yes").out
    assert project.blobs().count(sha256(b"precious")) == 1
    project("store", "gc", "--yes", "--irreplaceable")
    assert sha256(b"precious") not in project.blobs()


def test_an_adopted_and_pruned_file_is_irreplaceable(project: Project, without_grace: None) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("lock")
    content = content_of(project.hub, catalogue.PORTRAIT_V1)
    (project.path / CHECKPOINT).parent.mkdir(parents=True)
    (project.path / CHECKPOINT).write_bytes(content)
    project("sync")
    project.manifest(declare("eyes"))
    project("sync")
    plan = plan_collection(project.store)
    assert [found.sha256 for found in plan.irreplaceable] == [sha256(content)]
    assert plan.drop == ()


@pytest.mark.parametrize("damage", ["lockfile", "receipt", "record"])
def test_a_project_that_cannot_be_read_keeps_everything(
    project: Project, portrait: bytes, without_grace: None, damage: str
) -> None:
    (receipt,) = (project.path / ".synapse").glob("receipt-*.json")
    (record,) = (project.store / "projects").glob("*.json")
    {"lockfile": project.path / "synapse.lock", "receipt": receipt, "record": record}[damage].write_text("damaged")
    plan = plan_collection(project.store)
    assert plan.drop == () and len(plan.warnings) == 1
    assert "nothing is dropped" in project("store", "gc", "--yes").err
    assert blob(project, portrait).exists()


def test_each_blob_is_looked_at_once_more_before_it_goes(
    project: Project, portrait: bytes, without_grace: None
) -> None:
    plan = plan_collection(project.store)
    assert len(plan.drop) == 1
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    assert collect(project.store, plan) == 0
    assert blob(project, portrait).exists()


def test_every_target_of_every_project_counts(
    project: Project, portrait: bytes, without_grace: None, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "synapse.toml").write_text(declare("portrait", head=target("t", str(tmp_path / "ui"))))
    from synapse_sync.cli.main import main

    assert main(["sync", "-C", str(other)]) == 0
    assert plan_collection(project.store).drop == ()
    shutil.rmtree(other)
    assert plan_collection(project.store).drop == (), "its tree still uses the blob"
    shutil.rmtree(tmp_path / "ui")
    assert [found.sha256 for found in plan_collection(project.store).drop] == [sha256(portrait)]


def test_temporary_files_of_killed_runs_go_wherever_they_are_in_the_store(project: Project) -> None:
    """Notes are written beside themselves where that is safer: a kill leaves those files there."""
    root = project.store
    found = {}
    for folder in ("", "projects", "partials", "meta/0a", "answers/x"):
        for age in (3, 0):
            path = root / folder / f".note.json.12-{age:012x}.tmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
            os.utime(path, (time.time() - age * 86_400,) * 2)
            found[path] = age
    foreign = root / ".precious.tmp"
    foreign.write_text("mine")
    os.utime(foreign, (1, 1))
    project("store", "gc", "--yes")
    assert {path for path in found if path.exists()} == {path for path, age in found.items() if not age}
    assert foreign.exists()


def test_an_empty_store_has_nothing_to_drop(tmp_path: Path) -> None:
    assert plan_collection(tmp_path / "none") == collecting.Collection()


def test_what_would_be_dropped_says_where_it_came_from(project: Project, portrait: bytes) -> None:
    (found,) = plan_collection(project.store, now=later()).drop
    assert found.origin is not None and str(catalogue.PORTRAIT_V1) in found.origin
    assert json.dumps(found.origin).find("token") == -1


@pytest.mark.parametrize("text", [None, b"", b"\r\n"])
def test_a_lockfile_that_is_missing_wants_no_collection(
    project: Project, without_grace: None, text: bytes | None
) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("sync", "--only", "eyes")
    project("lock")
    project("sync")
    for path in (project.path / "models").rglob("*.safetensors"):
        path.unlink()
    for found in (project.path / ".synapse").glob("receipt-*"):
        found.unlink()
    lock = project.path / "synapse.lock"
    lock.unlink()
    if text is not None:
        lock.write_bytes(text)
    said = project("store", "gc", "--yes").err
    assert "nothing is dropped" in " ".join(said.split()) and len(project.blobs()) == 2
    project("lock")
    project("store", "gc", "--yes")
    assert len(project.blobs()) == 2, "they are locked again"
    lock.unlink()
    advice = re.search(r"`synapse (store forget \S+)`", "".join(project("store", "gc", "--json").json["warnings"]))
    assert advice is not None
    project(*advice[1].split())
    project("store", "gc", "--yes")
    assert project.blobs() == [], "the way out works"


def test_a_drive_that_is_not_mounted_wants_no_collection(
    project: Project, without_grace: None, tmp_path: Path
) -> None:
    root = tmp_path / "mnt" / "ui"
    root.mkdir(parents=True)
    project.manifest(f'[targets.t]\nroot = "{root.as_posix()}"\n' + declare("portrait"))
    project("sync")
    project.manifest(f'[targets.t]\nroot = "{root.as_posix()}"\n' + declare("eyes"))
    project("lock")
    root.parent.rename(tmp_path / "away")
    assert "is the drive mounted?" in " ".join(project("store", "gc", "--yes").err.split())
    (tmp_path / "mnt" / "ui").mkdir(parents=True)
    assert "is the drive mounted?" in " ".join(project("store", "gc", "--yes").err.split())
    assert len(project.blobs()) == 1, "the links in the tree lead to it"


def deleted(project: Project, tmp_path: Path) -> Project:
    """Another project with a tree inside of it and its own lockfile, which is deleted afterwards."""
    other = replace(project, path=tmp_path / "deep" / "other")
    other.path.mkdir(parents=True)
    other.manifest(declare("portrait", head=target("t", "ui")))
    other("sync")
    return other


@pytest.mark.parametrize("gone", ["other", "deep"])
def test_a_project_that_was_deleted_keeps_no_file(
    project: Project, without_grace: None, tmp_path: Path, gone: str
) -> None:
    other = deleted(project, tmp_path)
    shutil.rmtree(other.path if gone == "other" else other.path.parent)
    said = " ".join(project("store", "gc", "--yes").err.split())
    assert f"{other.path} is gone" in said and "is the drive mounted" not in said
    assert project.blobs() == []
    project("store", "forget", str(other.path))
    assert "is gone" not in project("store", "gc").err
    assert "the store knows no project" in project("store", "forget", str(other.path), code=2).err


def test_a_project_on_a_file_system_that_is_not_mounted_keeps_all(
    project: Project, without_grace: None, tmp_path: Path
) -> None:
    """Its mount point is there, empty, and on another device than the project was."""
    other = deleted(project, tmp_path)
    shutil.rmtree(other.path)
    (record,) = (project.store / "projects").glob("*.json")
    text = record.read_text("utf-8")
    record.write_text(re.sub(r'"identity": "\d+:', '"identity": "987654:', text), "utf-8")
    said = " ".join(project("store", "gc", "--yes").err.split())
    assert "is the drive mounted?" in said and f"`synapse store forget {other.path}`" in said
    assert len(project.blobs()) == 1
    project("store", "forget", str(other.path))
    project("store", "gc", "--yes")
    assert project.blobs() == []


def test_a_project_that_was_renamed_keeps_its_files(project: Project, without_grace: None, tmp_path: Path) -> None:
    other = deleted(project, tmp_path)
    moved = replace(other, path=other.path.rename(other.path.with_name("renamed")))
    assert f"is {moved.path} now, and was not synced there yet" in " ".join(
        project("store", "gc", "--yes").err.split()
    )
    assert len(project.blobs()) == 1
    assert "in sync" in moved("sync", "--offline").out
    assert "nothing is dropped" not in project("store", "gc", "--yes").err and len(project.blobs()) == 1


def test_what_a_first_lock_brought_is_in_use(project: Project) -> None:
    """A project is known from its first lock on, and not only from its first sync."""
    project.manifest("[models]\n")
    project("add", f"{project.hub.files.url}/{catalogue.PLAIN_LORA}", "--type", "lora")
    assert len(project.blobs()) == 1
    project("store", "gc", "--now", "--yes", "--irreplaceable")
    assert len(project.blobs()) == 1
    project.hub.clear_log()
    project("sync")
    assert project.hub.requests() == []

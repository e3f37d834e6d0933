"""Disk use, on a real tree and store: links take nothing, copies do, and every way out that is named works."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest
from workbench import CHECKPOINT, blob, content_of, declare, target, workspace
from world import Project, opened

from synapse_sync.demo import catalogue


def sizes(project: Project) -> dict[str, Any]:
    document: dict[str, Any] = project("list", "--sizes", "--json").json
    return document


@pytest.fixture
def portrait(project: Project) -> int:
    """A synced project with one model, by hard link; the size of its file."""
    project.manifest(declare("portrait"))
    project("sync", "--link-mode", "hardlink")
    return len(content_of(project.hub, catalogue.PORTRAIT_V1))


def test_a_hard_link_takes_nothing(project: Project, portrait: int) -> None:
    found = sizes(project)
    assert found["sizes"] == [{"name": "portrait", "size": portrait, "on_disk": portrait, "only_it_uses": portrait}]
    assert found["deletable"]["duplicates"] == found["deletable"]["unmanaged"] == []


def test_a_hard_link_whose_blob_is_gone_is_on_disk_once(project: Project, portrait: int) -> None:
    blob(project, (project.path / CHECKPOINT).read_bytes()).unlink()
    found = sizes(project)
    assert found["sizes"][0]["on_disk"] == portrait and found["deletable"]["duplicates"] == []


def test_copies_are_found_and_the_named_command_frees_them(project: Project, portrait: int) -> None:
    project("sync", "--link-mode", "copy")
    found = sizes(project)
    assert found["sizes"][0]["on_disk"] == 2 * portrait
    assert [each["spare_bytes"] for each in found["deletable"]["duplicates"]] == [portrait]
    assert "`synapse sync --link-mode symlink`" in project("list", "--sizes").out
    project("sync", "--link-mode", "symlink")
    assert sizes(project)["deletable"]["duplicates"] == []


def test_a_file_that_was_there_is_the_users_and_an_import_frees_it(project: Project, portrait: int) -> None:
    content = (project.path / CHECKPOINT).read_bytes()
    place = project.path.parent / "ui" / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    project.manifest(declare("portrait", head=target("mine", "../ui")))
    project("sync", "--yes", "--trust")
    found = sizes(project)
    (twice,) = found["deletable"]["duplicates"]
    assert {"target": "mine", "path": CHECKPOINT, "size": portrait, "yours": True} in twice["files"]
    assert found["sizes"][0]["only_it_uses"] == portrait, "the blob, and not the user's file"
    assert "`synapse import --move ../ui`" in project("list", "--sizes").out
    project("import", "--move", str(project.path.parent / "ui"))
    assert sizes(project)["deletable"]["duplicates"] == []
    assert os.path.samefile(place, blob(project, content))  # noqa: PTH121


def test_bytes_of_another_project_are_not_freed(project: Project, portrait: int) -> None:
    other = project.path.parent / "other"
    shutil.copytree(project.path, other, ignore=shutil.ignore_patterns("models", ".synapse"))
    with workspace(other) as second:
        second.sync()
    assert sizes(project)["sizes"][0]["only_it_uses"] == 0
    project("store", "forget", str(other))
    assert sizes(project)["sizes"][0]["only_it_uses"] == portrait


def test_only_a_part_of_the_project(project: Project) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    document = project("list", "--sizes", "--only", "eyes", "--json").json
    assert [each["name"] for each in document["sizes"]] == ["eyes"]


def test_what_nobody_uses_can_be_dropped(project: Project, portrait: int) -> None:
    project.manifest(declare("eyes"))
    project("sync")
    assert sizes(project)["deletable"]["reclaimable_in_store"] == portrait
    said = project("list", "--sizes").out
    assert "`synapse store gc --now`" in said
    project("store", "gc", "--now", "--yes")
    assert "can be deleted" in said and sizes(project)["deletable"]["reclaimable_in_store"] == 0


def test_no_file_of_weights_is_read(project: Project, portrait: int) -> None:
    project("sync", "--link-mode", "copy")
    with opened() as paths:
        project("list", "--sizes")
    assert not [path for path in paths if path.endswith(".safetensors") or "/blobs/" in path]


def test_a_damaged_neighbour_is_a_warning(project: Project, portrait: int) -> None:
    (note,) = (project.store / "projects").glob("*.json")
    (note.parent / ("0" * 16 + ".json")).write_text("{", "utf-8")
    result = project("list", "--sizes")
    assert "unreadable notes" in result.err and "portrait" in result.out

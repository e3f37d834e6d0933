from __future__ import annotations

import os
from pathlib import Path

import pytest
from workbench import CHECKPOINT, blob, declare, sha256
from world import Project

from synapse_sync.core.size_text import size_text
from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

SIZE = len(safetensors_bytes("first", size=40_000))
TEXT = size_text(SIZE)


@pytest.fixture
def spoilt(project: Project) -> list[bytes]:
    """A locked model, for which the site has other bytes of the same size each time that this is called."""
    first = safetensors_bytes("first", size=40_000)
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, first)
    project.manifest(declare("portrait"))
    project("lock")
    others = [safetensors_bytes(f"other {number}", size=40_000) for number in range(6)]
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, others[0])
    return others


def aside(project: Project) -> list[Path]:
    return sorted(path for path in (project.store / "quarantine").iterdir() if path.suffix != ".why")


def found(project: Project) -> list[tuple[str, str]]:
    said = project("doctor", "--offline", "--json").json["findings"]
    return [(each["text"], each["mend"]) for each in said if "quarantine" in each["text"]]


def test_the_same_wrong_bytes_are_kept_once(project: Project, spoilt: list[bytes]) -> None:
    for _ in range(3):
        said = project("sync", code=6).err
        (path,) = aside(project)
        assert path.read_bytes() == spoilt[0] and str(path) in said
    assert f"{TEXT} in quarantine" in project("store", "size").out
    assert project("store", "size", "--json").json == {"blobs": 0, "bytes": 0, "set_aside_bytes": SIZE}
    assert project("store", "list", "--json").json["stores"][0]["set_aside_bytes"] == SIZE
    ((text, mend),) = found(project)
    assert "downloads with wrong bytes" in text and f"1 ({TEXT})" in text and "store gc --now" in mend
    assert "check the disk" not in mend


def test_bytes_that_always_differ_do_not_fill_the_disk(project: Project, spoilt: list[bytes]) -> None:
    for content in spoilt:
        project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, content)
        said = project("sync", code=6).err
        assert any(str(path) in said and path.read_bytes() == content for path in aside(project))
    assert {path.read_bytes() for path in aside(project)} == {*spoilt[-3:]}


def test_a_collection_drops_them_after_its_grace_or_at_once(project: Project, spoilt: list[bytes]) -> None:
    project("sync", code=6)
    (path,) = aside(project)
    assert "0 blobs to drop" in project("store", "gc").err and path.exists(), "it may be being looked at"
    planned = project("store", "gc", "--now", "--dry-run", "--json").json
    assert planned["refused_downloads"] == [{"path": str(path), "size": SIZE}] and planned["bytes"] == SIZE
    assert f"1 refused download to drop, {TEXT}" in project("store", "gc", "--now", "--dry-run").err
    assert "nothing was dropped" in project("store", "gc", "--now", code=2).err and path.exists()
    assert f"freed {TEXT}" in project("store", "gc", "--now", "--yes").err
    assert aside(project) == [] and found(project) == []


def test_a_file_that_was_in_use_stays_in_quarantine(project: Project, spoilt: list[bytes]) -> None:
    """It may be somebody's only copy; so may be one of an earlier version, whose name does not say what it is."""
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, first := safetensors_bytes("first", size=40_000))
    project("sync")
    place = blob(project, first)
    place.chmod(0o644)
    place.write_bytes(b"an edit")
    project("store", "verify", code=6)
    (project.store / "quarantine" / f"{sha256(first)}-7").write_bytes(b"of an earlier version")
    before = {path: path.read_bytes() for path in aside(project)}
    assert len(before) == 2
    assert project("store", "gc", "--now", "--yes", "--irreplaceable", "--json").json["refused_downloads"] == []
    assert {path: path.read_bytes() for path in aside(project)} == before
    ((text, mend),) = found(project)
    assert "bad files set aside" in text and ": 2 (" in text and "your own edits" in mend
    assert "in quarantine" in project("store", "size").out
    assert os.path.lexists(project.path / CHECKPOINT)

"""A blob that somebody changed through a link: no verb brings right bytes in its place unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from workbench import CHECKPOINT, content_of, declare, sha256, target
from world import Project, names_in

from synapse_sync.demo import catalogue
from synapse_sync.demo.storage import Stored

MINE = b"my own change"
HERE = "ComfyUI/models/checkpoints/here.safetensors"


@pytest.fixture
def edited(project: Project) -> Path:
    """A path of a project through whose link somebody wrote to the store."""
    project.manifest(declare("portrait", head=target("t", ".", "symlink")))
    project("sync")
    place = project.path / CHECKPOINT
    place.resolve().chmod(0o644)
    place.write_bytes(MINE)
    return place


@pytest.fixture
def other(project: Project, edited: Path) -> Project:
    """Another project of the same user, in whose tree the right bytes are."""
    path = project.path.parent / "other"
    (path / HERE).parent.mkdir(parents=True)
    (path / HERE).write_bytes(content_of(project.hub, catalogue.PORTRAIT_V1))
    return replace(project, path=path)


def url_of(project: Project) -> str:
    """A plain address with the right bytes, whose digest nobody promises."""
    content = content_of(project.hub, catalogue.PORTRAIT_V1)
    return project.hub.storage.publish("/plain/portrait.safetensors", Stored(content=content))


def refused(project: Project, edited: Path, *words: str) -> str:
    """A command that must not replace the bytes; what it says."""
    before = names_in(project.path)
    said = " ".join(project(*words, code=7).err.split())
    assert "changed by somebody, perhaps through a link" in said and "`synapse store verify`" in said
    assert edited.is_symlink() and edited.read_bytes() == MINE
    assert not (project.store / "quarantine").exists()
    assert not list((project.store / "partials").glob("*")), "nothing is left that no later run could use"
    assert names_in(project.path) == before
    return said


@pytest.mark.parametrize("local", [False, True])
def test_add(other: Project, edited: Path, local: bool) -> None:
    other.manifest("[models]\n")
    words = ["add", f"./{HERE}" if local else url_of(other), "--type", "checkpoint", "--name", "again"]
    refused(other, edited, *words)
    other("store", "verify", code=6)
    other(*words)
    assert other.locked()[0]["name"] == "again"


@pytest.mark.parametrize("local", [False, True])
def test_lock(other: Project, edited: Path, local: bool) -> None:
    source = f"./{HERE}" if local else url_of(other)
    other.manifest(f'[models.again]\nsource = "{source}"\ntype = "checkpoint"\n')
    assert "`again" in refused(other, edited, "lock")
    other("store", "verify", code=6)
    other("lock")


def test_a_mirror_is_not_asked_for_bytes_that_cannot_come(other: Project, edited: Path) -> None:
    url = url_of(other)
    other.manifest(f'[models.again]\nsource = "{url}"\nmirrors = ["{url}?again"]\ntype = "checkpoint"\n')
    other.hub.clear_log()
    refused(other, edited, "lock")
    assert len(other.hub.requests("storage")) == 1


@pytest.mark.parametrize("how", ["--copy", "--move"])
def test_import(other: Project, edited: Path, how: str) -> None:
    said = refused(other, edited, "import", "ComfyUI", how)
    assert "nothing was imported" in said and "here.safetensors" in said
    assert not (other.path / HERE).is_symlink()
    other("store", "verify", code=6)
    other("import", "ComfyUI", how)
    blob = next((other.store / "blobs").rglob(sha256(content_of(other.hub, catalogue.PORTRAIT_V1))))
    assert (other.path / HERE).samefile(blob) == (how == "--move")


def test_import_in_place_brings_nothing(other: Project, edited: Path) -> None:
    other("import", "ComfyUI", "--in-place")
    assert edited.read_bytes() == MINE and not (other.path / HERE).is_symlink()


def test_a_sync_says_where_it_is(other: Project, edited: Path) -> None:
    """The other project has no link to it: the sync sets it aside, and names it."""
    other.manifest(declare("portrait"))
    said = " ".join(other("sync").err.split())
    (kept,) = (path for path in (other.store / "quarantine").iterdir() if path.suffix != ".why")
    assert kept.read_bytes() == MINE and "changed by somebody" in said

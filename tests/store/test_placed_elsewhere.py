from __future__ import annotations

from pathlib import Path

from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.store.placed_elsewhere import PlacedElsewhere


def test_what_projects_placed_is_found_while_it_is_unchanged(project: Project):
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    blobs = [path.name for path in (project.store / "blobs/sha256").glob("*/*")]
    elsewhere = PlacedElsewhere(project.store)
    found = {sha256: list(elsewhere.files(sha256)) for sha256 in blobs}
    assert all(len(places) == 1 and places[0].is_relative_to(project.path) for places in found.values()) and found
    place = found[blobs[0]][0]
    content = place.read_bytes()
    place.unlink()
    assert list(elsewhere.files(blobs[0])) == []
    place.write_bytes(content + b"x")
    assert list(elsewhere.files(blobs[0])) == []
    assert list(elsewhere.files("0" * 64)) == []


def test_what_is_placed_later_is_found_too(project: Project):
    elsewhere = PlacedElsewhere(project.store)
    assert list(elsewhere.files("0" * 64)) == []
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    (sha256,) = [path.name for path in (project.store / "blobs/sha256").glob("*/*")][:1]
    assert len(list(elsewhere.files(sha256))) == 1


def test_a_damaged_receipt_and_an_empty_store(project: Project, tmp_path: Path):
    assert list(PlacedElsewhere(tmp_path / "none").files("0" * 64)) == []
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    (sha256,) = [path.name for path in (project.store / "blobs/sha256").glob("*/*")][:1]
    for path in project.path.rglob("receipt-*.json"):
        path.write_text("{")
    assert list(PlacedElsewhere(project.store).files(sha256)) == []

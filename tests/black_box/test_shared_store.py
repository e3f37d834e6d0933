"""Two users have one store: one's own, root's and trusted blobs are linked, those of others are copied."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cases import case
from workbench import EYES
from world import Project

from synapse_sync.demo import catalogue

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can make files of other users"
)
OTHER = 12345
MANIFEST = f'[models]\neyes = "civitai:{catalogue.EYES}"\n'


@pytest.fixture
def shared(project: Project) -> Path:
    """The path of a blob of another user, in a store that both have; the tree is empty."""
    project.manifest(MANIFEST)
    project("sync", "--link-mode", "copy")
    (project.path / EYES).unlink()
    blob = next(path for path in (project.store / "blobs").rglob("*") if path.is_file())
    for path in (blob, *(project.store / "meta").rglob("*.json")):
        os.chown(path, OTHER, OTHER)
    return blob


def downloads(project: Project) -> int:
    return sum("/download/" in request.path for request in project.hub.requests())


@case(186)
@pytest.mark.parametrize("mode", ["auto", "hardlink", "symlink", "copy", "move"])
def test_right_bytes_of_another_user_are_copied(project: Project, shared: Path, mode: str) -> None:
    before, place = downloads(project), project.path / EYES
    project("sync", "--link-mode", mode)
    assert downloads(project) == before
    right = place.read_bytes()
    assert not place.is_symlink() and not place.samefile(shared) and place.stat().st_uid == os.geteuid()
    shared.chmod(0o644)
    shared.write_bytes(b"something else")
    assert place.read_bytes() == right
    project("sync", "--check")


@case(186)
@pytest.mark.parametrize("mode", ["auto", "symlink", "move"])
def test_wrong_bytes_of_another_user_are_never_placed(project: Project, shared: Path, mode: str) -> None:
    right, found = shared.read_bytes(), shared.stat()
    shared.chmod(0o644)
    shared.write_bytes(right[:-4] + b"EVIL")
    os.utime(shared, ns=(found.st_atime_ns, found.st_mtime_ns))
    project("sync", "--link-mode", mode)
    assert (project.path / EYES).read_bytes() == right
    project("verify")


@case(186)
def test_owners_of_the_settings_are_linked(project: Project, shared: Path, sandbox: Path) -> None:
    (sandbox / "config.toml").write_text(f'trusted-owners = ["{OTHER}"]\n')
    project("sync", "--link-mode", "hardlink")
    assert (project.path / EYES).samefile(shared)


def test_a_link_of_an_earlier_sync_stays(project: Project) -> None:
    """A lab's trees lead to blobs of colleagues: they were right when they were placed, and are in sync."""
    project.manifest(MANIFEST)
    project("sync", "--link-mode", "symlink")
    for path in (project.store / "blobs").rglob("*"):
        os.chown(path, OTHER, OTHER)
    before = downloads(project)
    assert "in sync" in project("sync", "--link-mode", "symlink").out
    assert (project.path / EYES).is_symlink() and downloads(project) == before
    project("verify")

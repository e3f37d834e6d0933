"""File systems that refuse what most allow: each test mounts one, or skips with the reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import CHECKPOINT, EYES, content_of, declare, leftovers, target
from world import Project

from synapse_sync.demo import catalogue

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def no_chmod(tmp_path: Path) -> Iterator[Path]:
    """A directory where one may write and chmod and chown are refused, as on many network shares."""
    if shutil.which("bindfs") is None or shutil.which("fusermount3") is None:
        pytest.skip("needs bindfs and FUSE (Debian: bindfs, fuse3)")
    real, share = tmp_path / "real", tmp_path / "share"
    real.mkdir()
    share.mkdir()
    words = ["bindfs", "--chmod-deny", "--chown-deny", str(real), str(share)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not os.path.ismount(share):
        pytest.skip(f"bindfs cannot mount here: {done.stderr.strip()}")
    yield share
    subprocess.run(["fusermount3", "-u", "-z", str(share)], check=True)


@pytest.mark.parametrize("place", ["tree", "store", "both"])
@pytest.mark.parametrize("mode", ["auto", "copy", "symlink", "move"])
def test_where_modes_are_refused_everything_works(
    project: Project, no_chmod: Path, monkeypatch: pytest.MonkeyPatch, place: str, mode: str
) -> None:
    if place != "tree":
        monkeypatch.setenv("SYNAPSE_STORE", str(no_chmod / "store"))
    root = project.path / "ui" if place == "store" else no_chmod / "ui"
    head = target("ui", str(root), mode)
    project.manifest(declare("portrait", "eyes", head=head))
    project("sync")
    assert (root / CHECKPOINT).read_bytes() == content_of(project.hub, catalogue.PORTRAIT_V1)
    assert "nothing to do" in project("sync").err
    (root / EYES).unlink()
    project("sync")
    assert (root / EYES).is_file()
    project("verify")
    project.manifest(declare("eyes", head=head))
    project("sync", "--yes")
    assert not os.path.lexists(root / CHECKPOINT)
    assert leftovers(root) == []


def test_a_blob_where_modes_are_refused_is_still_found_changed(
    project: Project, no_chmod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store cannot protect a blob by its mode there: a change is seen by its time and size."""
    monkeypatch.setenv("SYNAPSE_STORE", str(no_chmod / "store"))
    project.manifest(declare("eyes", head=target("ui", "ui", "copy")))
    project("sync")
    (blob,) = (path for path in (no_chmod / "store" / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"changed")
    (project.path / "ui" / EYES).unlink()
    project("sync")
    assert (project.path / "ui" / EYES).read_bytes() != b"changed"

"""Copies of a private file stay private, and so does a store that nobody named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cases import case
from workbench import EYES
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.store.hashing import copy_and_hash

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
MANIFEST = f'[models]\neyes = "civitai:{catalogue.EYES}"\n'


@pytest.fixture
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(project: Project) -> set[int]:
    """The modes of the placed file and of everything that the store has of its bytes."""
    files = [path for path in (project.store / "blobs").rglob("*") if path.is_file()]
    return {path.stat().st_mode & 0o777 for path in (*files, project.path / "models/loras/m.safetensors")}


@case(187)
@pytest.mark.parametrize("mode", ["auto", "hardlink", "symlink", "copy", "move", "clone"])
@pytest.mark.parametrize("source", [0o600, 0o644])
def test_what_was_private_stays_so(project: Project, usual_umask: None, mode: str, source: int) -> None:
    secret = project.path / "secret.safetensors"
    secret.write_bytes(safetensors_bytes("secret"))
    secret.chmod(source)
    project.manifest('[models.m]\nsource = "./secret.safetensors"\nfilename = "m.safetensors"\ntype = "lora"\n')
    if project("sync", "--link-mode", mode, code=None if mode == "clone" else 0).code == 9:
        pytest.skip("no clones here")
    assert secret.stat().st_mode & 0o777 == source
    others = {mode & 0o077 for mode in modes(project)}
    assert others == ({0} if source == 0o600 else {0o044})


def test_a_copy_is_private_from_its_first_byte(project: Project, usual_umask: None, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 100_000)
    secret.chmod(0o600)
    seen: list[int] = []
    copy_and_hash(secret, tmp_path / "copy", lambda count: seen.append((tmp_path / "copy").stat().st_mode & 0o777))
    assert seen == [0o600]


@case(187)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no variable moves the usual place")
def test_the_store_that_nobody_named_cannot_be_listed(project: Project, usual_umask: None, sandbox: Path) -> None:
    os.environ["XDG_DATA_HOME"] = str(sandbox / "data")
    del os.environ["SYNAPSE_STORE"]
    project.manifest(MANIFEST)
    project("sync", "--link-mode", "symlink")
    store = sandbox / "data" / "synapse" / "store"
    for path in (store, *store.rglob("*")):
        walked = path == store or path.relative_to(store).parts[0] == "blobs"
        if path.is_dir():
            assert path.stat().st_mode & 0o077 == (0o011 if walked else 0), path
        elif path.parent == store:
            assert not path.stat().st_mode & 0o077, path
    placed = project.path / EYES
    assert placed.is_symlink() and placed.stat().st_mode & 0o044 == 0o044, "another user's UI follows it"


def test_a_store_that_is_named_follows_the_umask(project: Project, usual_umask: None) -> None:
    project.manifest(MANIFEST)
    project("sync")
    assert {path.stat().st_mode & 0o777 for path in project.store.rglob("*") if path.is_dir()} == {0o755}

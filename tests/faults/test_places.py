"""Cases 160 to 167: links, shared and read-only places, spellings, and things that moved."""

from __future__ import annotations

import errno
import os
import shutil
import stat as mode_of
from pathlib import Path
from typing import Any

import pytest
from cases import case
from pyfakefs.fake_filesystem import FakeFilesystem
from stage import Stage
from workbench import EYES, SHARPEN

from synapse_sync.demo import catalogue
from synapse_sync.store.spelling import is_spelled, one_file, respell_path

REFERENCES = {"eyes": f"civitai:{catalogue.EYES}", "sharpen": f"civitai:{catalogue.SHARPEN}"}


def declared(*names: str, root: str = ".", mode: str = "copy") -> str:
    models = "".join(f'{name} = "{REFERENCES[name]}"\n' for name in names)
    return f'[targets.t]\nroot = "{root}"\nlink-mode = "{mode}"\n[models]\n{models}'


def downloads(stage: Stage) -> int:
    return len(stage.hub.requests("storage"))


@case(160)
@pytest.mark.parametrize("at", [".", "models", "models/embeddings"])
@pytest.mark.parametrize("into", ["a disk", "the store", "nothing"])
def test_a_directory_that_is_a_link(stage: Stage, tmp_path: Path, at: str, into: str) -> None:
    disk = {"a disk": tmp_path / "disk", "the store": stage.store / "blobs", "nothing": tmp_path / "away"}[into]
    if into != "nothing":
        disk.mkdir(parents=True, exist_ok=True)
    link = stage.path / "ui" / at
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(disk)
    stage.manifest(declared("eyes", root="ui"))
    if into == "a disk":
        assert stage("sync").err.count(str(disk)) == 1
        assert (stage.path / "ui" / EYES).is_file()
        return
    forbidden = into == "the store" and at == "."  # a root is never there, whatever the user says
    code, words = (2, "is refused") if forbidden else (7, "symbolic link")
    assert words in stage("sync", code=code).err
    assert not list(disk.rglob("clear-eyes*"))
    link.unlink()


@case(161)
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_store_that_can_only_be_read(stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    stage.manifest(declared("eyes", "sharpen"))
    stage("sync")
    (stage.path / EYES).unlink()
    real = os.open

    def refuse(path: Any, flags: int, *more: Any, **words: Any) -> int:
        if str(path).startswith(str(stage.store)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, flags, *more, **words)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        patch.setenv("HOME", str(stage.path.parent))
        stage("sync", "--offline")
        for words in ("sync", "status", "verify", "lock"):
            stage(words)
    assert (stage.path / EYES).is_file()


@case(162)
def test_modes_that_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    stage.manifest(declared("eyes", "sharpen", mode="move"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "chmod", refuse)
        stage("sync")
        stage.manifest(declared("eyes"))
        stage("sync")
    assert EYES in stage.tree() and SHARPEN not in stage.tree()


@case(163)
@pytest.mark.parametrize("setgid", [False, True])
@pytest.mark.parametrize("umask", [0o002, 0o007])
def test_what_a_group_shares(stage: Stage, umask: int, setgid: bool) -> None:
    """Where a group may write what a user makes, the umask decides in the tree, too, with setgid and without."""
    (stage.path / EYES).parent.mkdir(parents=True, exist_ok=True)
    for folder in (stage.path, *(stage.path / EYES).parents[:2]) if setgid else ():
        folder.chmod(0o2775)
    before = os.umask(umask)
    try:
        stage.manifest("[workspace]\nsidecars = true\n" + declared("eyes", "sharpen"))
        stage("sync")
        stage.manifest("[workspace]\nsidecars = true\n" + declared("eyes"))
        stage("sync")
    finally:
        os.umask(before)
    state = (stage.path / ".synapse").rglob("*")
    for path in (*state, *stage.store.rglob("*"), stage.path / EYES, stage.path / "synapse.lock"):
        usual = 0o777 if path.is_dir() else 0o444 if "blobs" in path.parts else 0o666
        if path.name.startswith("receipt-key-"):
            usual = 0o600  # the one secret in a store
        assert mode_of.S_IMODE(path.stat().st_mode) & 0o777 == usual & ~umask, path


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_elsewhere_the_umask_does_not_decide(stage: Stage, umask: int) -> None:
    before = os.umask(umask)
    try:
        stage.manifest(declared("eyes"))
        stage("sync")
    finally:
        os.umask(before)
    assert mode_of.S_IMODE((stage.path / EYES).stat().st_mode) == 0o644
    assert mode_of.S_IMODE((stage.path / EYES).parent.stat().st_mode) == 0o755


@case(164)
def test_a_path_in_another_spelling(fs: FakeFilesystem) -> None:
    """On a file system that ignores case; `test_odd_file_systems` mounts one."""
    fs.is_case_sensitive = False
    fs.create_file("/ui/models/loras/Sub/Dream.safetensors", contents="x")
    old, new = "models/loras/Sub/Dream.safetensors", "models/loras/sub/dream.safetensors"
    assert one_file(Path("/ui"), old, new) and not is_spelled(Path("/ui"), new)
    respell_path(Path("/ui"), new, listed=[old], keep=["models", "models/loras"])
    assert is_spelled(Path("/ui"), new) and Path("/ui", new).read_text() == "x"


@case(165)
@pytest.mark.parametrize("how", ["renamed", "copied"])
def test_a_project_that_is_somewhere_else(stage: Stage, tmp_path: Path, how: str) -> None:
    stage.manifest(declared("eyes", "sharpen", root="ui"))
    stage("sync")
    second = tmp_path / "second"
    shutil.copytree(stage.path, second, symlinks=True)
    if how == "renamed":
        shutil.rmtree(stage.path / "ui")
    (second / "synapse.toml").write_text(declared("eyes", root="ui"))
    before = downloads(stage)
    stage.heard(stage._run(["sync", "-C", str(second)]), "in the second project")
    assert (second / "ui" / EYES).exists() and not (second / "ui" / SHARPEN).exists()
    if how == "copied":
        assert (stage.path / "ui" / EYES).exists() and (stage.path / "ui" / SHARPEN).exists()
    assert downloads(stage) == before


@case(166)
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_a_root_that_was_corrected(stage: Stage, mode: str) -> None:
    stage.manifest(declared("eyes", "sharpen", root="typo", mode=mode))
    stage("sync")
    before = downloads(stage)
    stage.manifest(declared("eyes", "sharpen", root="ui", mode=mode))
    assert "typo" in stage("status").out
    stage("sync")
    assert set(stage.tree(root="ui")) == {EYES, SHARPEN} and stage.tree(root="typo") == {}
    assert downloads(stage) == before


@case(167)
def test_the_wanted_bytes_under_another_name(stage: Stage) -> None:
    stage.manifest(declared("eyes", mode="move"))
    stage("sync")
    (stage.path / "models/mine").mkdir()
    mine = (stage.path / EYES).rename(stage.path / "models/mine/eyes.safetensors")
    shutil.rmtree(stage.store)
    before = downloads(stage)
    stage("sync", "--offline")
    assert mine.read_bytes() == (stage.path / EYES).read_bytes()
    assert downloads(stage) == before

"""What only Windows does: read-only files, files in use, flushed directories. Runs there, and under Wine."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest
from world import Project, names_in

from synapse_sync.demo import catalogue
from synapse_sync.errors import StorageError
from synapse_sync.store.durable import fsync_dir, fsync_file, remove, replace_file, storage_error, write_atomic

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="how Windows treats files")


def read_only(path: Path, content: bytes = b"old") -> Path:
    path.write_bytes(content)
    path.chmod(0o444)
    return path


def is_read_only(path: Path) -> bool:
    return not path.stat().st_mode & stat.S_IWRITE


def test_a_read_only_file_is_removed(tmp_path: Path) -> None:
    remove(read_only(tmp_path / "blob"))
    remove(tmp_path / "blob", missing_ok=True)
    assert names_in(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        remove(tmp_path / "blob")


def test_the_other_name_of_a_removed_file_stays_read_only(tmp_path: Path) -> None:
    blob = read_only(tmp_path / "blob")
    os.link(blob, tmp_path / "placed")
    remove(tmp_path / "placed")
    assert (names_in(tmp_path), is_read_only(blob)) == (["blob"], True)


def test_a_read_only_file_is_replaced(tmp_path: Path) -> None:
    read_only(tmp_path / "model")
    (tmp_path / "new").write_bytes(b"new")
    replace_file(tmp_path / "new", tmp_path / "model")
    assert (names_in(tmp_path), (tmp_path / "model").read_bytes()) == (["model"], b"new")


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_a_file_in_use_stays_and_the_words_say_so(tmp_path: Path, how: str) -> None:
    path = read_only(tmp_path / "model")
    (tmp_path / "new").write_bytes(b"new")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        if how == "mapped":
            file.close()  # as ComfyUI does: the map alone holds the file
        for step in (lambda: remove(path), lambda: replace_file(tmp_path / "new", path)):
            with pytest.raises(OSError) as caught:
                step()
            assert caught.value.errno == errno.EBUSY
            said = storage_error(caught.value, "placing `model`")
            assert said.message == f"placing `model`: in use by another program ({path})"
            assert "close the program" in (said.hint or "")
        with pytest.raises(StorageError, match="writing model: in use by another program"):
            write_atomic(path, b"newer")
    assert (path.read_bytes(), is_read_only(path), names_in(tmp_path)) == (b"old", True, ["model", "new"])
    replace_file(tmp_path / "new", path)
    assert path.read_bytes() == b"new"


def test_a_program_that_lets_go_at_once_is_waited_for(tmp_path: Path) -> None:
    path = read_only(tmp_path / "model")
    held = path.open("rb")
    timer = threading.Timer(0.05, held.close)
    timer.start()
    remove(path)
    timer.join()
    assert names_in(tmp_path) == []


def test_a_directory_is_no_file_in_use(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "new").write_bytes(b"new")
    before = time.monotonic()
    with pytest.raises(IsADirectoryError):
        remove(tmp_path / "model")
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "new", tmp_path / "model")
    assert time.monotonic() - before < 5
    assert names_in(tmp_path) == ["model", "new"]


def test_a_read_only_file_and_a_directory_are_flushed(tmp_path: Path) -> None:
    path = read_only(tmp_path / "blob")
    fsync_file(path)
    fsync_dir(tmp_path)
    fsync_dir(tmp_path / "absent")
    assert (path.read_bytes(), is_read_only(path)) == (b"old", True)


@pytest.mark.parametrize("mode", ["auto", "copy"])
def test_a_model_in_use_stays_and_the_next_sync_does_the_rest(project: Project, mode: str) -> None:
    head = f'[targets.t]\nlink-mode = "{mode}"\n[models]\n'
    eyes, portrait = f'eyes = "civitai:{catalogue.EYES}"\n', f'portrait = "civitai:{catalogue.PORTRAIT}"\n'
    project.manifest(head + eyes + portrait)
    project("sync")
    before = project.tree()
    (held,) = (project.path / name for name in before if "portrait" in name)
    project.manifest(head + eyes)
    with held.open("rb"):
        said = project("sync", code=9).err
        assert "in use by another program" in said and "close the program" in said
        assert project.tree() == before
    assert "1 pruned" in project("sync").out
    assert len(project.tree()) == 1
    project.manifest(head + eyes + portrait)
    project("sync")
    catalogue.publish_upgrade(project.hub)
    project("lock", "--upgrade")
    with held.open("rb"):
        assert "in use by another program" in project("sync", code=9).err
        assert held.read_bytes() == before[held.relative_to(project.path).as_posix()]
    project("sync")
    assert "in sync" in project("status").out
    assert not held.exists()

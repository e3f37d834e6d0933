from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workbench import CHECKPOINT, content_of, declare, downloads, sha256, target, workspace, write_over
from world import Project

from synapse_sync.core.plan import State, Verb
from synapse_sync.demo import catalogue

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def portrait(project: Project) -> bytes:
    project.manifest(declare("portrait"))
    project("lock")
    return content_of(project.hub, catalogue.PORTRAIT_V1)


def state_of(project: Project, path: str = CHECKPOINT) -> tuple[State, str | None]:
    with workspace(project.path) as open_workspace:
        found = open_workspace.survey().observed[("default", path)]
    return found.state, found.sha256


def test_a_free_path_is_absent(project: Project, portrait: bytes) -> None:
    assert state_of(project) == (State.ABSENT, None)


def test_what_we_placed_is_placed_without_hashing(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    project("sync")
    monkeypatch.setattr("synapse_sync.engine.observe.hash_file", lambda path: pytest.fail("hashed"))
    assert state_of(project) == (State.PLACED, sha256(portrait))


def test_a_touched_file_is_hashed_and_still_placed(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("default", ".", "copy")))
    project("sync")
    os.utime(project.path / CHECKPOINT, (1, 1))
    assert state_of(project) == (State.PLACED, sha256(portrait))
    assert "nothing to do" in project("sync").err
    with workspace(project.path) as quick:
        assert quick.unchanged() == 1, "the sync has noted the new time"


def test_a_foreign_file_is_hashed_only_if_its_size_fits(project: Project, portrait: bytes) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(b"short")
    assert state_of(project) == (State.FOREIGN, None)
    place.write_bytes(bytes(len(portrait)))
    assert state_of(project) == (State.FOREIGN, sha256(bytes(len(portrait))))


def make_directory(place: Path) -> None:
    place.mkdir()


def make_fifo(place: Path) -> None:
    os.mkfifo(place)


def make_dangling_link(place: Path) -> None:
    place.symlink_to("nowhere")


def make_loop(place: Path) -> None:
    place.symlink_to(place)


def make_link_to_directory(place: Path) -> None:
    place.symlink_to(place.parent)


def make_link_through_a_file(place: Path) -> None:
    (place.parent / "file").write_bytes(b"")
    place.symlink_to("file/below")


OBSTACLES = [
    make_directory, make_fifo, make_dangling_link, make_loop, make_link_to_directory, make_link_through_a_file,
]  # fmt: skip


@pytest.mark.parametrize("make", OBSTACLES)
def test_what_is_no_file_is_in_the_way_and_stays(
    project: Project, portrait: bytes, make: Callable[[Path], None]
) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    make(place)
    before = place.lstat()
    assert state_of(project)[0] is State.OBSTRUCTED
    assert CHECKPOINT in project("sync", code=7).err
    project("sync", "--force", code=7)
    after = place.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("make", OBSTACLES)
def test_what_took_the_place_of_our_file_stays(
    project: Project, portrait: bytes, make: Callable[[Path], None]
) -> None:
    project("sync")
    place = project.path / CHECKPOINT
    place.unlink()
    make(place)
    before = place.lstat()
    assert state_of(project)[0] in (State.OBSTRUCTED, State.ALTERED)
    project("sync", code=7)
    assert place.lstat().st_ino == before.st_ino
    project.manifest("[models]\n")
    project("sync")
    project.manifest(declare("eyes"))
    project("sync")
    assert place.lstat().st_ino == before.st_ino, "nor is it pruned when nobody wants it"


@pytest.mark.parametrize("depth", ["models", "models/checkpoints"])
def test_a_linked_directory_is_never_followed(
    project: Project, portrait: bytes, tmp_path: Path, depth: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "checkpoints").mkdir(parents=True)
    (project.path / depth).parent.mkdir(parents=True, exist_ok=True)
    (project.path / depth).symlink_to(outside)
    assert state_of(project)[0] is State.OBSTRUCTED
    project.hub.clear_log()
    assert "symbolic link" in project("sync", code=7).err
    assert not [path for path in outside.rglob("*") if path.is_file()]
    assert downloads(project.hub) == []


def test_a_directory_moved_away_and_linked_is_not_pruned_through(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    shutil.move(project.path / "models/checkpoints", tmp_path / "elsewhere")
    (project.path / "models/checkpoints").symlink_to(tmp_path / "elsewhere")
    project.manifest(declare("eyes"))
    project("sync")
    assert (tmp_path / "elsewhere/portrait_v1.safetensors").read_bytes() == portrait


def test_a_root_that_is_a_link_is_the_users_choice(project: Project, portrait: bytes, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (project.path / "ComfyUI").symlink_to(tmp_path / "disk")
    project.manifest(declare("portrait", head=target("comfy", "ComfyUI")))
    project("sync")
    assert (tmp_path / "disk" / CHECKPOINT).read_bytes() == portrait


def test_a_file_where_the_root_should_be_is_a_conflict(project: Project, portrait: bytes) -> None:
    (project.path / "ComfyUI").write_bytes(b"mine")
    project.manifest(declare("portrait", head=target("comfy", "ComfyUI")))
    assert "ComfyUI is a file" in project("sync", code=7).err
    assert (project.path / "ComfyUI").read_bytes() == b"mine"


def test_a_file_where_a_folder_should_be_is_a_conflict(project: Project, portrait: bytes) -> None:
    (project.path / "models").write_bytes(b"mine")
    assert "not a directory" in project("sync", code=7).err


def test_a_file_changed_through_a_hard_link_is_altered(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("default", ".", "hardlink")))
    project("sync")
    write_over(project.path / CHECKPOINT, b"mine now")
    assert state_of(project) == (State.ALTERED, sha256(b"mine now"))


def test_a_link_that_the_user_made_to_the_same_bytes_is_adopted_as_theirs(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    project.manifest(declare("portrait", "eyes", head=target("default", ".", "symlink")))
    project("sync")
    place = project.path / CHECKPOINT
    (tmp_path / "mine.safetensors").write_bytes(portrait)
    place.unlink()
    place.symlink_to(tmp_path / "mine.safetensors")
    assert state_of(project) == (State.ALTERED, sha256(portrait))
    with workspace(project.path) as open_workspace:
        assert [action.verb for action in open_workspace.survey().plan.actions] == [Verb.ADOPT]
    project("sync")
    project.manifest(declare("eyes", head=target("default", ".", "symlink")))
    project("sync")
    assert place.readlink() == tmp_path / "mine.safetensors", "a link of the user's is not pruned"

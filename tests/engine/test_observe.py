from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workbench import CHECKPOINT, MODELS, declare, downloads, sha256, target, workspace, write_over
from world import Project, opened

from synapse_sync.core.plan import State, Verb

pytestmark = pytest.mark.usefixtures("impatient")


def state_of(project: Project, path: str = CHECKPOINT) -> tuple[State, str | None]:
    with workspace(project.path) as open_workspace:
        found = open_workspace.survey().observed[("default", path)]
    return found.state, found.sha256


def test_a_free_path_is_absent(project: Project, portrait: bytes) -> None:
    assert state_of(project) == (State.ABSENT, None)


def test_what_we_placed_is_placed_without_hashing(project: Project, portrait: bytes) -> None:
    project("sync")
    with opened() as paths:
        assert state_of(project) == (State.PLACED, sha256(portrait))
    assert str(project.path / CHECKPOINT) not in paths, "hashed"


def test_a_touched_file_is_hashed_and_still_placed(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("default", ".", "copy")))
    project("sync")
    os.utime(project.path / CHECKPOINT, (1, 1))
    assert state_of(project) == (State.PLACED, sha256(portrait))
    assert "nothing to do" in project("sync").out
    with workspace(project.path) as quick:
        assert quick.unchanged() == 1, "the sync has noted the new time"


def test_a_foreign_file_is_hashed_only_if_its_size_fits(project: Project, portrait: bytes) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(b"short")
    assert state_of(project) == (State.FOREIGN, None)
    place.write_bytes(bytes(len(portrait)))
    assert state_of(project) == (State.FOREIGN, sha256(bytes(len(portrait))))


def test_the_right_bytes_in_another_size_than_the_site_said_are_adopted(project: Project, portrait: bytes) -> None:
    """The digest decides, and sizes of sites are rounded."""
    project.manifest(declare("portrait", head=target("default", ".", "copy")))
    project("lock")
    lockfile = project.path / "synapse.lock"
    said = f"size = {round(len(portrait) * 1.03)}\n"
    lockfile.write_text(project.lock_text.replace(f"size = {len(portrait)}\n", said))
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(portrait)
    project.hub.clear_log()
    project("sync")
    assert project.hub.requests() == [] and place.read_bytes() == portrait
    assert "in sync" in project("status").out


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


LINKS = [".", "models", "models/checkpoints"]


def link(place: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(to)


@pytest.mark.parametrize("at", LINKS)
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_behind_a_link_files_are_placed_and_pruned_like_others(
    project: Project, portrait: bytes, tmp_path: Path, at: str, mode: str
) -> None:
    head = target("ui", "ui", mode)
    link(project.path / "ui" / at, tmp_path / "disk")
    project.manifest(declare("portrait", "eyes", head=head))
    assert str(tmp_path / "disk") in " ".join(project("status").err.split()), "status and sync report the same"
    said = " ".join(project("sync").err.split())
    assert f"is a link to {tmp_path / 'disk'}" in said and said.count(str(tmp_path / "disk")) == 1
    (placed,) = (tmp_path / "disk").rglob("portrait_v1.safetensors")
    assert placed.read_bytes() == portrait
    assert "nothing to do" in project("sync").out
    project("verify")
    project.manifest(declare("eyes", head=head))
    assert "link" not in project("sync").err, "it is reported once"
    assert not placed.exists() and (tmp_path / "disk").is_dir()
    assert "in sync" in project("status").out


@pytest.mark.parametrize("at", ["models", "models/checkpoints"])
def test_a_link_that_is_made_after_the_first_sync_is_reported_once(
    project: Project, portrait: bytes, tmp_path: Path, at: str
) -> None:
    """The user moves a folder to a larger disk, and later to another one."""
    folder = project.path / at
    project("sync")
    for disk in (tmp_path / "disk", tmp_path / "larger disk"):
        shutil.copytree(folder, disk, copy_function=shutil.copy)
        shutil.rmtree(folder) if not folder.is_symlink() else folder.unlink()
        folder.symlink_to(disk)
        words = f"`{at}` is a link to {disk}; synapse follows it"
        assert words in " ".join(project("status").err.split())
        assert " ".join(project("sync").err.split()).count(words) == 1
        project.manifest(declare("eyes", "portrait") if disk.name == "disk" else declare("portrait"))
        assert "is a link to" not in project("sync").err + project("status").err


def test_a_link_that_an_earlier_version_followed_is_not_reported_again(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    link(project.path / "models", tmp_path / "disk")
    project("sync")
    (record,) = (project.store / "projects").glob("*.json")
    known = json.loads(record.read_text("utf-8"))
    assert list(known.pop("links").values()) == [str(tmp_path / "disk")]
    record.write_text(json.dumps(known), "utf-8")
    assert "is a link to" not in project("status").err + project("sync").err


@pytest.mark.parametrize("at", LINKS)
@pytest.mark.parametrize("into", ["other", "other/models", "store", "store/blobs", "ui/.synapse"])
def test_a_link_into_what_has_another_owner_is_refused(
    project: Project, portrait: bytes, at: str, into: str
) -> None:
    if at == "." and into.startswith("ui"):
        pytest.skip("a loop")
    inside = project.store.parent / into if into.startswith("store") else project.path / into
    link(project.path / "ui" / at, inside)
    model = f'[models.portrait]\nsource = "{MODELS["portrait"]}"\ntargets = ["ui"]\n'
    project.manifest(target("ui", "ui") + target("other", "other") + model)
    project.hub.clear_log()
    forbidden = at == "." and into.startswith("store")  # a root is never there, whatever the user says
    code, words = (2, "is refused") if forbidden else (7, "is a symbolic link into")
    said = project("sync", code=code).err
    assert words in said and "--force" not in said
    project("sync", "--force", code=code)
    assert not list(inside.rglob("portrait*"))
    assert downloads(project.hub) == []
    if not forbidden:
        project("lock")
        said = " ".join(project("verify", code=6).err.split())
        assert (
            "move or rename what is in the way, or name other `targets` for the model, and sync again" in said
            and "places it" not in said
        )
        (project.path / "ui" / at).rename(project.path / "away")
        project("sync")
        project("verify")


def test_a_link_into_a_target_of_another_project_is_refused(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "synapse.toml").write_text(declare("eyes", head=target("ui", "ui")))
    with workspace(other) as open_workspace:
        open_workspace.sync()
    link(project.path / "models", other / "ui" / "models")
    assert f"a target of the project {other}" in " ".join(project("sync", code=7).err.split())
    shutil.rmtree(other / "ui" / ".synapse")
    project("sync")
    assert (other / "ui" / CHECKPOINT).read_bytes() == portrait, "without a receipt the other project owns nothing"


def test_two_targets_whose_links_lead_to_one_directory_share_its_files(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        link(project.path / name / "models", tmp_path / "disk")
    two = target("a", "a") + target("b", "b")
    project.manifest(declare("portrait", "eyes", head=two))
    project("sync")
    assert "nothing to do" in project("sync").out
    only_b = f'[models.portrait]\nsource = "{MODELS["portrait"]}"\ntargets = ["b"]\n'
    project.manifest(declare("eyes", head=two) + only_b)
    project("sync")
    assert (tmp_path / "disk/checkpoints/portrait_v1.safetensors").read_bytes() == portrait, "b wants it"
    project.manifest(declare("eyes", head=two))
    project("sync")
    assert not (tmp_path / "disk/checkpoints/portrait_v1.safetensors").exists()


def test_two_projects_whose_links_lead_to_one_disk_share_its_files(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    """Neither prunes a file that the other lists; the last one does."""
    other = tmp_path / "other"
    for directory in (project.path, other):
        link(directory / "ui" / "models", tmp_path / "disk")
    head = target("ui", "ui")
    (other / "synapse.toml").write_text(declare("portrait", "eyes", head=head))
    project.manifest(declare("portrait", "eyes", head=head))
    project("sync")
    with workspace(other) as open_workspace:
        assert open_workspace.sync().exit_code == 0
    project.manifest(declare("eyes", head=head))
    assert "another target or project wants it" in project("sync").out
    assert (tmp_path / "disk/checkpoints/portrait_v1.safetensors").read_bytes() == portrait
    (other / "synapse.toml").write_text(declare("eyes", head=head))
    with workspace(other) as open_workspace:
        assert open_workspace.sync().exit_code == 0
    assert not (tmp_path / "disk/checkpoints/portrait_v1.safetensors").exists()


def test_a_directory_moved_away_and_linked_is_still_kept_in_step(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    shutil.move(project.path / "models/checkpoints", tmp_path / "elsewhere")
    (project.path / "models/checkpoints").symlink_to(tmp_path / "elsewhere")
    assert "nothing to do" in project("sync").out
    (tmp_path / "elsewhere/portrait_v1.safetensors").chmod(0o644)
    (tmp_path / "elsewhere/portrait_v1.safetensors").write_bytes(b"mine now")
    project.manifest(declare("eyes"))
    project("sync")
    assert (tmp_path / "elsewhere/portrait_v1.safetensors").read_bytes() == b"mine now"


def test_a_link_to_a_drive_that_is_not_mounted_is_a_conflict(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    project.manifest(declare("portrait", head=target("ui", "ui")))
    (project.path / "ui").symlink_to(tmp_path / "drive")
    said = " ".join(project("sync", code=7).err.split())
    assert f"a symbolic link to {tmp_path / 'drive'}, which is not there" in said
    assert not (tmp_path / "drive").exists()


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

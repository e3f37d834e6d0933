"""Projects and roots that moved: what was placed stays in somebody's care, and nobody else's files are touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from workbench import CHECKPOINT, EYES, MODELS, SHARPEN, declare, downloads, target
from world import Project

from synapse_sync.demo import catalogue

pytestmark = pytest.mark.usefixtures("impatient")


def at(project: Project, path: Path) -> Project:
    return replace(project, path=path)


def receipts(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".synapse").glob("receipt-*.json"))


def rename(old: Path, new: Path) -> None:
    old.rename(new)


def copy(old: Path, new: Path) -> None:
    shutil.copytree(old, new, symlinks=True)


def move_across(old: Path, new: Path) -> None:
    """What `mv` does between two disks: every inode is another one."""
    shutil.copytree(old, new, symlinks=True)
    shutil.rmtree(old)


# -- projects ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [rename, copy, move_across])
@pytest.mark.parametrize("root", [".", "ui", "deep/ui"])
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy"])
@pytest.mark.parametrize("between", ["at once", "after a sync"])
def test_a_moved_project_prunes_what_it_placed_before(
    project: Project, tmp_path: Path, how: Callable[[Path, Path], None], root: str, mode: str, between: str
) -> None:
    head = target("t", root, mode)
    project.manifest(declare("eyes", "sharpen", head=head))
    project("sync")
    how(project.path, tmp_path / "second")
    second = at(project, tmp_path / "second")
    project.hub.clear_log()
    if between == "after a sync":
        assert "nothing to do" in second("sync").out, "its files are known as they are"
        assert len(receipts(second.path / root)) == 1
    second.manifest(declare("eyes", head=head))
    assert SHARPEN in second("status").out
    second("sync")
    assert set(second.tree(root=root)) == {EYES}
    assert "in sync" in second("status").out
    if how is copy:
        assert set(project.tree(root=root)) == {EYES, SHARPEN}, "the original keeps both"
        project("sync", "--locked")
        assert set(project.tree(root=root)) == {EYES, SHARPEN}
    assert downloads(project.hub) == []


def test_a_renamed_project_keeps_its_tree_elsewhere(project: Project, tmp_path: Path) -> None:
    head = target("t", str(tmp_path / "ui"))
    project.manifest(declare("eyes", "sharpen", head=head))
    project("sync")
    project.path.rename(tmp_path / "second")
    second = at(project, tmp_path / "second")
    second.manifest(declare("eyes", head=head))
    second("sync")
    assert (tmp_path / "ui" / EYES).exists() and not (tmp_path / "ui" / SHARPEN).exists()
    assert len(receipts(tmp_path / "ui")) == 1


@pytest.mark.parametrize("root", ["ui", "outside"])
def test_a_renamed_project_without_a_target_prunes_it(project: Project, tmp_path: Path, root: str) -> None:
    """The directory is renamed and the target leaves the manifest, before any sync sees one of them alone."""
    head = target("old", "ui" if root == "ui" else str(tmp_path / "ui"))
    project.manifest(declare("eyes", head=head + target("kept", "kept")))
    project("sync")
    project.path.rename(tmp_path / "second")
    second = at(project, tmp_path / "second")
    second.manifest(declare("eyes", head=target("kept", "kept")))
    assert second("sync", "--dry-run").out.count(EYES) == 1
    second("sync")
    place = second.path / "ui" if root == "ui" else tmp_path / "ui"
    assert not (place / EYES).exists() and (second.path / "kept" / EYES).exists()
    assert "in sync" in second("status").out


@pytest.mark.parametrize("what", ["a copy", "another project", "an inode used again", "unknown to the store"])
def test_nobody_inherits_the_files_of_others(project: Project, tmp_path: Path, what: str) -> None:
    """Two projects share a tree: what one of them placed is not pruned because the other does not want it."""
    head = target("t", str(tmp_path / "ui"))
    project.manifest(declare("sharpen", head=head))
    project("sync")
    second = at(project, tmp_path / "second")
    if what == "a copy":
        copy(project.path, second.path)
        second.manifest(declare("eyes", head=head))
    else:
        second.path.mkdir()
        second.manifest(declare("eyes", head=head))
        shutil.rmtree(project.path)
    if what == "an inode used again":
        (record,) = (project.store / "projects").glob("*.json")
        found = second.path.stat()
        data = json.loads(record.read_bytes()) | {"identity": f"{found.st_dev}:{found.st_ino}"}
        record.write_text(json.dumps(data))
    elif what == "unknown to the store":
        shutil.rmtree(project.store / "projects")
    second("sync")
    assert (tmp_path / "ui" / SHARPEN).exists() and (tmp_path / "ui" / EYES).exists()


def test_a_receipt_that_came_with_a_foreign_project_is_no_licence(project: Project, tmp_path: Path) -> None:
    """A repository with a receipt in it: this store does not know it."""
    head = target("t", "ui")
    project.manifest(declare("eyes", "sharpen", head=head))
    project("sync")
    copy(project.path, tmp_path / "second")
    shutil.rmtree(project.store / "projects")
    second = at(project, tmp_path / "second")
    second.manifest(declare("eyes", head=head))
    second("sync")
    assert set(second.tree(root="ui")) == {EYES, SHARPEN}


# -- projects that are gone ------------------------------------------------------------------------------


def worktree(project: Project, tmp_path: Path, *models: str, root: Path | None = None) -> Project:
    """Another project beside the first one, for the same tree."""
    second = at(project, tmp_path / "second")
    second.path.mkdir()
    second.manifest(declare(*models, head=target("t", str(root or tmp_path / "ui"))))
    return second


def test_a_deleted_project_keeps_no_file_that_another_one_drops(project: Project, tmp_path: Path) -> None:
    project.manifest(declare("eyes", "sharpen", head=target("t", str(tmp_path / "ui"))))
    project("sync")
    second = worktree(project, tmp_path, "eyes", "sharpen")
    second("sync")
    second.manifest(declare("eyes", head=target("t", str(tmp_path / "ui"))))
    shutil.rmtree(project.path)
    second("sync")
    assert (tmp_path / "ui" / EYES).exists() and not (tmp_path / "ui" / SHARPEN).exists()
    assert len(receipts(tmp_path / "ui")) == 1, "the receipt of the deleted one is gone, too"
    assert "in sync" in second("status").out


def test_a_deleted_worktree_leaves_no_orphan_in_the_tree_that_it_shared(project: Project, tmp_path: Path) -> None:
    """Only the deleted one wanted a file: its successor, with the same target and a model of it, drops it."""
    project.manifest(declare("eyes", "sharpen", head=target("t", str(tmp_path / "ui"))))
    project("sync")
    shutil.rmtree(project.path)
    second = worktree(project, tmp_path, "eyes")
    second("lock")
    assert SHARPEN in second("status").out
    second("sync")
    assert (tmp_path / "ui" / EYES).exists() and not (tmp_path / "ui" / SHARPEN).exists()


def change_record(project: Project, **facts: object) -> None:
    notes = (project.store / "projects").glob("*.json")
    (record,) = (path for path in notes if json.loads(path.read_bytes())["project"] == str(project.path))
    record.write_text(json.dumps(json.loads(record.read_bytes()) | facts))


@pytest.mark.parametrize(
    "where",
    ["another machine", "an unknown one", "another disk", "a mount point", "renamed", "there", "unreadable"],
)
def test_a_project_that_is_only_out_of_reach_keeps_its_files(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    project.manifest(declare("eyes", "sharpen", head=target("t", str(tmp_path / "ui"))))
    project("sync")
    second = worktree(project, tmp_path, "eyes", "sharpen")
    second("sync")
    if where == "renamed":  # and not synced since
        project.path.rename(tmp_path / "renamed")
    elif where == "a mount point":
        change_record(project, above=["1:1" for _ in project.path.parents])
    elif where == "another disk":
        above = [f"1{Path(folder).stat().st_dev}:{folder.stat().st_ino}" for folder in project.path.parents]
        change_record(project, above=above)
    elif where.endswith(("machine", "one")):
        change_record(project, host="elsewhere" if where == "another machine" else "")
    elif where == "unreadable":
        real = Path.stat

        def stat(path: Path, **more: bool) -> object:
            if path == project.path.parent:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, **more)

        monkeypatch.setattr(Path, "stat", stat)
    if where != "there":
        shutil.rmtree(project.path, ignore_errors=True)
    second.manifest(declare("eyes", head=target("t", str(tmp_path / "ui"))))
    second("sync")
    assert (tmp_path / "ui" / SHARPEN).exists()


def test_a_project_whose_parents_are_deleted_with_it_is_gone(project: Project, tmp_path: Path) -> None:
    deep = at(project, tmp_path / "a/b/c")
    deep.path.mkdir(parents=True)
    deep.manifest(declare("eyes", "sharpen", head=target("t", str(tmp_path / "ui"))))
    deep("sync")
    shutil.rmtree(tmp_path / "a")
    second = worktree(project, tmp_path, "eyes")
    second("sync")
    assert not (tmp_path / "ui" / SHARPEN).exists()


@pytest.mark.parametrize("how", [copy, move_across])
def test_a_copy_whose_root_is_corrected_takes_its_files_along(
    project: Project, tmp_path: Path, how: Callable[[Path, Path], None]
) -> None:
    project.manifest(declare("eyes", "sharpen", head=target("t", "typo")))
    project("sync")
    how(project.path, tmp_path / "second")
    second = at(project, tmp_path / "second")
    second.manifest(declare("eyes", "sharpen", head=target("t", "ui")))
    assert "typo" in second("status").out + second("status").err
    second("sync")
    assert set(second.tree(root="ui")) == {EYES, SHARPEN}
    assert not second.tree(root="typo")
    if how is copy:
        assert set(project.tree(root="typo")) == {EYES, SHARPEN}


def test_a_tree_that_came_from_another_machine_is_pruned_by_the_project_that_holds_it(
    project: Project, tmp_path: Path
) -> None:
    """The store is a new one, and knows nothing of the receipt that came along."""
    project.manifest(declare("eyes", "sharpen", head=target("t", "ui", "copy")))
    project("sync")
    move_across(project.path, tmp_path / "second")
    shutil.rmtree(project.store)
    second = at(project, tmp_path / "second")
    second("sync")
    second.manifest(declare("eyes", head=target("t", "ui", "copy")))
    second("sync")
    assert set(second.tree(root="ui")) == {EYES}


# -- roots ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_a_corrected_root_takes_its_files_along(project: Project, mode: str) -> None:
    project.manifest(declare("eyes", "sharpen", head=target("t", "typo", mode)))
    project("sync")
    project.hub.clear_log()
    project.manifest(declare("eyes", "sharpen", head=target("t", "ui", mode)))
    said = project("status").out
    assert "typo" in said and SHARPEN in said
    project("sync", "--offline")
    assert set(project.tree(root="ui")) == {EYES, SHARPEN}
    assert project.tree(root="typo") == {}
    assert receipts(project.path / "typo") == []
    assert "in sync" in project("status").out
    assert project.hub.requests() == []


@pytest.mark.parametrize("words", [("--no-prune",), ("--target", "t"), ("--only", "eyes")])
def test_a_root_that_was_not_pruned_yet_is_not_forgotten(project: Project, words: tuple[str, ...]) -> None:
    project.manifest(declare("eyes", head=target("t", "typo")))
    project("sync")
    project.manifest(declare("eyes", head=target("t", "ui")))
    project("sync", *words)
    assert EYES in project.tree(root="typo")
    assert "typo" in project("status").out
    project.manifest(declare("eyes", head=target("t", "third")))
    project("sync")
    assert project.tree(root="typo") == {} and project.tree(root="ui") == {}
    assert EYES in project.tree(root="third")


def test_a_root_on_a_drive_that_is_away_is_pruned_when_it_is_back(project: Project, tmp_path: Path) -> None:
    project.manifest(declare("eyes", head=target("t", str(tmp_path / "drive" / "ui"))))
    (tmp_path / "drive").mkdir()
    project("sync")
    (tmp_path / "drive").rename(tmp_path / "away")
    project.manifest(declare("eyes", head=target("t", "ui")))
    project("sync")
    project("sync")
    (tmp_path / "away").rename(tmp_path / "drive")
    project.manifest(declare("eyes", head=target("t", "ui")) + "\n")
    project("sync")
    assert not (tmp_path / "drive" / "ui" / EYES).exists()


def test_a_changed_file_below_the_old_root_is_kept(project: Project) -> None:
    project.manifest(declare("eyes", head=target("t", "typo", "copy")))
    project("sync")
    (project.path / "typo" / EYES).write_bytes(b"mine now")
    project.manifest(declare("eyes", head=target("t", "ui", "copy")))
    assert "changed since" in project("sync").out
    assert (project.path / "typo" / EYES).read_bytes() == b"mine now"


@pytest.mark.parametrize("now", ["link", "./a/../ui", "ui/"])
def test_the_same_root_in_other_words_prunes_nothing(project: Project, now: str) -> None:
    project.manifest(declare("eyes", "sharpen", head=target("t", "ui")))
    project("sync")
    (project.path / "link").symlink_to("ui")
    project.manifest(declare("eyes", "sharpen", head=target("t", now)))
    project("sync")
    assert set(project.tree(root="ui")) == {EYES, SHARPEN}
    assert "in sync" in project("status").out
    project.manifest(declare("eyes", head=target("t", now)))
    project("sync")
    assert set(project.tree(root="ui")) == {EYES}


def test_two_targets_that_swap_their_roots_keep_both(project: Project) -> None:
    model = '[models.{0}]\nsource = "{1}"\ntargets = ["{2}"]\n'
    one = model.format("eyes", MODELS["eyes"], "a") + model.format("portrait", MODELS["portrait"], "b")
    project.manifest(target("a", "x") + target("b", "y") + one)
    project("sync")
    project.manifest(target("a", "y") + target("b", "x") + one)
    project("sync")
    assert (set(project.tree(root="x")), set(project.tree(root="y"))) == ({CHECKPOINT}, {EYES})
    assert "in sync" in project("status").out


def test_a_large_prune_below_an_old_root_is_asked_about(project: Project) -> None:
    project.hub.civitai.add_many(12, 6_000_000)
    many = "".join(f'm{number} = "civitai:{number}"\n' for number in range(6_000_000, 6_000_012))
    project.manifest(declare(head=target("t", "typo")) + many)
    project("sync")
    project.manifest(declare(head=target("t", "ui")) + many)
    assert "12 of the 12 files" in project("sync", code=2).err
    assert len(project.tree(root="typo")) == 12
    project("sync", "--yes")
    assert len(project.tree(root="ui")) == 12 and project.tree(root="typo") == {}


def test_a_root_of_another_name_is_said_before_and_while_the_tree_moves(project: Project) -> None:
    """A slip of the pen in `root` would else make a second tree in silence."""
    text = f'[targets.ui]\nlayout = "comfyui"\nroot = "ROOT"\n[models]\none = "civitai:{catalogue.EYES}"\n'
    project.manifest(text.replace("ROOT", "UI"))
    assert "new root" not in project("sync").err
    project.manifest(text.replace("ROOT", "UIx"))
    project("lock")
    for verb in ("status", "sync"):
        result = project(verb)
        said = " ".join(f"{result.out} {result.err}".split())
        assert f"{project.path / 'UIx'} is a new root; files move there from {project.path / 'UI'}" in said
        assert "the root of its target moved" in said and "no longer wanted" not in said
    assert "new root" not in project("sync").err


@pytest.mark.parametrize("root", ["typo", "deep/typo"])
def test_a_root_that_is_corrected_beside_a_new_store_takes_its_files_along(project: Project, root: str) -> None:
    """No note says where the files were: their receipt does."""
    project.manifest(declare("eyes", "sharpen", head=target("t", root, "copy")))
    project("sync")
    shutil.rmtree(project.store)
    project.manifest(declare("eyes", "sharpen", head=target("t", "ui", "copy")))
    assert str(Path(root)) in project("status").out + project("status").err
    project("sync")
    assert set(project.tree(root="ui")) == {EYES, SHARPEN}
    assert not project.tree(root=root)

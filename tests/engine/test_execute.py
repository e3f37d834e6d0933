from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workbench import (
    CHECKPOINT,
    EYES,
    MODELS,
    SHARPEN,
    blob,
    declare,
    downloads,
    leftovers,
    sha256,
    target,
    workspace,
    write_over,
)
from world import Project

from synapse_sync.core.plan import Verb
from synapse_sync.core.report import Outcome
from synapse_sync.core.reporter import Reporter
from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine.scope import Scope
from synapse_sync.store import tree as tree_module
from synapse_sync.store.aside import set_aside
from synapse_sync.user.settings import load_settings
from synapse_sync.workspace import Workspace

pytestmark = pytest.mark.usefixtures("impatient")


def journal(root: Path) -> list[dict[str, Any]]:
    where = root / ".synapse" / "journal.jsonl"
    return [json.loads(line) for line in where.read_text("utf-8").splitlines()] if where.exists() else []


def entries(root: Path) -> list[dict[str, Any]]:
    """What the receipts of a tree say of each file."""
    return [
        entry
        for path in (root / ".synapse").glob("receipt-*.json")
        for entry in json.loads(path.read_bytes())["entries"]
    ]


def listed(root: Path) -> set[str]:
    """The paths that the receipts of a tree list."""
    return {entry["path"] for entry in entries(root)}


# -- files in the way -------------------------------------------------------------------------------


def test_a_foreign_file_is_kept_and_reported(project: Project, portrait: bytes) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    said = project("sync", code=7).err
    assert CHECKPOINT in said and "--force" in said
    assert place.read_bytes() == b"mine"
    assert downloads(project.hub) == [], "what cannot be placed is not downloaded"
    assert listed(project.path) == set()


def test_force_moves_a_foreign_file_aside(project: Project, portrait: bytes) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    place.with_name(place.name + ".set-aside-1").write_bytes(b"older")
    done = project("sync", "--force", "-v")
    assert f"the file that was there is now `{place.name}.set-aside-2`" in " ".join((done.out + done.err).split())
    assert place.read_bytes() == portrait
    assert place.with_name(place.name + ".set-aside-2").read_bytes() == b"mine"
    assert place.with_name(place.name + ".set-aside-1").read_bytes() == b"older"
    assert "moved aside" in journal(project.path)[0]["why"]


def test_force_keeps_a_foreign_file_in_place_if_the_download_fails(project: Project, portrait: bytes) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, b"x" * len(portrait))
    project("sync", "--force", code=6)
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert place.read_bytes() == b"mine"


def test_force_keeps_a_foreign_file_in_place_if_placing_fails(project: Project, portrait: bytes) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    if shares_blocks(place.parent):
        pytest.skip("this file system can clone")
    project("sync", "--force", "--link-mode", "clone", code=9)
    assert list(place.parent.iterdir()) == [place]
    assert place.read_bytes() == b"mine"


def deny_the_journal(root: Path) -> None:
    """What another user's journal is: a file that cannot be written; a directory is one even for root."""
    (root / ".synapse" / "journal.jsonl").mkdir(parents=True)


def test_force_keeps_a_foreign_file_in_place_if_the_journal_cannot_be_written(
    project: Project, portrait: bytes
) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    deny_the_journal(project.path)
    project("sync", "--force", code=9)
    assert list(place.parent.iterdir()) == [place] and place.read_bytes() == b"mine"


@pytest.mark.parametrize("act", ["prune", "replace"])
def test_the_only_copy_stays_in_place_if_the_journal_cannot_be_written(
    project: Project, portrait: bytes, act: str
) -> None:
    project.manifest(declare("portrait", head=target("t", ".", "move")))
    project("sync")
    deny_the_journal(project.path)
    mode = "move" if act == "prune" else "copy"
    project.manifest(declare("eyes" if act == "prune" else "portrait", head=target("t", ".", mode)))
    project("sync", code=9)
    assert (project.path / CHECKPOINT).read_bytes() == portrait


def test_a_foreign_file_with_the_right_bytes_is_adopted(project: Project, portrait: bytes) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(portrait)
    inode = place.stat().st_ino
    assert "1 adopted" in project("sync").out
    assert (place.stat().st_ino, listed(project.path)) == (inode, {CHECKPOINT})
    assert downloads(project.hub) == []
    assert "nothing to do" in project("sync").out


def test_what_the_receipt_forgot_is_known_again_as_our_hard_link(project: Project, portrait: bytes) -> None:
    project("sync", "--link-mode", "hardlink")
    shutil.rmtree(project.path / ".synapse")
    project("sync", "--link-mode", "hardlink")
    (entry,) = entries(project.path)
    assert entry["how"] == "hardlink"


def test_a_file_that_was_only_touched_is_noted_as_it_is_now(project: Project) -> None:
    project.manifest(declare("portrait", head=target("t", ".", "copy")))
    project("sync")
    os.utime(project.path / CHECKPOINT, ns=(1000, 1000))
    project("sync")
    (entry,) = entries(project.path)
    assert entry["mtime_ns"] == 1000, "or it would be hashed in every sync"


def test_what_was_adopted_moves_into_the_store_when_it_is_pruned(project: Project, portrait: bytes) -> None:
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(portrait)
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    project.manifest(declare("eyes"))
    project("sync")
    assert not place.exists()
    assert blob(project, portrait).read_bytes() == portrait, "the only copy is never deleted"


def test_a_changed_file_is_kept_and_reported(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", "eyes", head=target("t", ".", "copy")))
    project("sync")
    place = project.path / CHECKPOINT
    place.write_bytes(b"my own work")
    assert "changed since synapse placed it" in project("sync", code=7).err
    assert place.read_bytes() == b"my own work"
    project.manifest(declare("eyes", head=target("t", ".", "copy")))
    assert CHECKPOINT in project("sync").out
    assert place.read_bytes() == b"my own work"
    assert listed(project.path) == {EYES}


def test_a_file_that_changes_between_look_and_deed_is_left(project: Project, portrait: bytes) -> None:
    head = target("t", ".", "copy")
    project.manifest(declare("portrait", head=head))
    project("sync")
    place = project.path / CHECKPOINT

    class Busy(Reporter):
        """Another program, which writes to one file while synapse places another."""

        def action_done(self, outcome: Outcome) -> None:
            if outcome.action.verb is Verb.PLACE:
                place.write_bytes(b"just now")

    project.manifest(declare("eyes", head=head))
    settings = load_settings(os.environ, Path.home())
    with Workspace(project.path, settings, reporter=Busy()) as open_workspace:
        report = open_workspace.sync()
    assert report.exit_code == 7
    assert "just been changed" in report.errors[0].message
    assert place.read_bytes() == b"just now"


def test_a_removed_file_is_placed_again_without_a_download(project: Project, portrait: bytes) -> None:
    project("sync")
    project.hub.clear_log()
    (project.path / CHECKPOINT).unlink()
    project("sync")
    assert (project.path / CHECKPOINT).read_bytes() == portrait
    assert project.hub.requests() == []


# -- prune -----------------------------------------------------------------------------------------


def test_prune_removes_empty_directories_of_its_own_only(project: Project) -> None:
    head = target("t", ".")
    deep = f'[models.deep]\nsource = "{MODELS["portrait"]}"\nsubfolder = "a/b"\n'
    project.manifest(declare("eyes", head=head) + deep)
    project("sync")
    assert (project.path / "models/checkpoints/a/b/portrait_v1.safetensors").is_file()
    project.manifest(declare("eyes", head=head))
    project("sync")
    assert (project.path / "models/checkpoints").is_dir()
    assert not (project.path / "models/checkpoints/a").exists()


def test_a_file_that_another_project_wants_is_forgotten_then_pruned_by_the_last(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    head = target("shared", str(tmp_path / "ui"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "synapse.toml").write_text(declare("portrait", "sharpen", head=head))
    project.manifest(declare("portrait", "eyes", head=head))
    project("sync")
    with workspace(tmp_path / "other") as other:
        report = other.sync()
        assert report.exit_code == 0 and report.done(Verb.ADOPT) == 1
        project.manifest(declare("eyes", head=head))
        assert "another target or project wants it" in project("sync").out
        assert (tmp_path / "ui" / CHECKPOINT).read_bytes() == portrait
        (tmp_path / "other" / "synapse.toml").write_text(declare("sharpen", head=head))
        assert other.sync().done(Verb.PRUNE) == 1
    assert not (tmp_path / "ui" / CHECKPOINT).exists()
    assert (tmp_path / "ui" / EYES).is_file()


def test_two_targets_with_one_root_share_a_file(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("a", "ui") + target("b", "ui")))
    project("sync")
    assert "nothing to do" in project("sync").out
    assert (project.path / "ui" / CHECKPOINT).read_bytes() == portrait


def test_nothing_is_pruned_when_another_action_failed(project: Project, portrait: bytes) -> None:
    project("sync")
    project.manifest(declare("eyes"))
    project("lock")
    project.hub.civitai.replace_content(910_021, b"x" * 3000)
    assert "skipped: another action failed" in project("sync", code=6).out
    assert (project.path / CHECKPOINT).is_file()
    project("sync", "--only", "eyes", code=6)
    assert CHECKPOINT in listed(project.path)


def test_an_empty_manifest_prunes_nothing(project: Project, portrait: bytes) -> None:
    project("sync")
    for text in ("", "[models]\n"):
        project.manifest(text)
        assert "nothing is pruned" in project("sync").err
        assert (project.path / CHECKPOINT).is_file()


def test_the_last_model_is_removed_when_both_files_agree_and_the_user_says_so(
    project: Project, portrait: bytes
) -> None:
    project("sync")
    assert "`synapse sync --yes`" in project("remove", "portrait").err
    said = project("sync", code=2).err
    assert "1 of the 1 files" in said and "`--yes`" in said
    assert (project.path / CHECKPOINT).is_file()
    assert "1 pruned" in project("sync", "--yes").out
    assert not (project.path / CHECKPOINT).exists()
    assert "in sync" in project("sync").out


def test_the_warning_about_an_empty_manifest_names_a_way_that_works(project: Project, portrait: bytes) -> None:
    project("sync")
    project.manifest("[models]\n")
    said = project("sync", "--yes").err
    assert "keep `[models]` in it, and run `synapse lock`" in said and "`synapse sync --yes`" in said
    assert (project.path / CHECKPOINT).is_file()
    project("lock")
    project("sync", "--yes")
    assert not (project.path / CHECKPOINT).exists()


@pytest.mark.parametrize("blank", ["synapse.toml", "synapse.lock"])
def test_a_blank_file_prunes_nothing_even_beside_an_empty_one(
    project: Project, portrait: bytes, blank: str
) -> None:
    project("sync")
    project("remove", "portrait")
    (project.path / blank).write_text("")
    project("sync", "--yes")
    assert (project.path / CHECKPOINT).is_file()


def test_the_only_model_leaves_a_file_that_the_user_changed(project: Project, portrait: bytes) -> None:
    project("sync")
    project("remove", "portrait")
    write_over(project.path / CHECKPOINT, b"mine")
    said = project("sync", "--yes").out
    assert CHECKPOINT in said and "changed since synapse placed it" in said
    assert (project.path / CHECKPOINT).read_bytes() == b"mine"


def test_files_that_an_option_keeps_are_counted(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    project.manifest(declare("eyes"))
    assert "in sync: 1 file, nothing to do; 1 unwanted file kept (--no-prune)" in project("sync", "--no-prune").out
    assert "1 unwanted file kept (--no-prune)" in project("sync", "--no-prune", "--dry-run").out
    assert "kept" not in project("sync", "--no-prune", "--only", "eyes").err
    project("sync")
    assert "kept" not in project("sync", "--no-prune").err


@pytest.mark.parametrize("words", [("--no-prune",), ("--only", "eyes"), ("--group", "g")])
def test_a_partial_sync_prunes_nothing(project: Project, portrait: bytes, words: tuple[str, ...]) -> None:
    project("sync")
    project.manifest(f'[models.eyes]\nsource = "{MODELS["eyes"]}"\ngroups = ["g"]\n')
    project("sync", *words)
    assert (project.path / CHECKPOINT).is_file() and (project.path / EYES).is_file()
    project("sync")
    assert not (project.path / CHECKPOINT).exists()


def test_a_large_prune_wants_a_word(project: Project) -> None:
    project.hub.civitai.add_many(12, 6_000_000)
    many = "".join(f'm{number} = "civitai:{number}"\n' for number in range(6_000_000, 6_000_012))
    project.manifest(declare("eyes") + many)
    project("sync")
    before = project.tree()
    project.manifest(declare("eyes"))
    assert "12 of the 13 files" in project("sync", code=2).err
    assert project.tree() == before
    project("sync", "--no-prune")
    assert project.tree() == before
    project("sync", "--yes")
    assert set(project.tree()) == {EYES}


def test_one_file_that_cannot_be_unlinked_does_not_stop_the_others(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.manifest(declare("portrait", "eyes", "sharpen"))
    project("sync")
    project.manifest(declare("sharpen"))
    real = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self.name == "portrait_v1.safetensors":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        real(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert "no permission" in project("sync", code=9).err
    assert set(project.tree()) == {CHECKPOINT, SHARPEN}
    assert listed(project.path) == {CHECKPOINT, SHARPEN}
    monkeypatch.undo()


def test_one_receipt_that_cannot_be_written_does_not_stop_the_others(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("a", "a") + target("b", "b")))
    (project.path / "a").mkdir()
    (project.path / "a/.synapse").symlink_to("elsewhere")
    (project.path / "a/elsewhere").mkdir()
    project("sync", code=7)
    assert listed(project.path / "b") == {CHECKPOINT}
    assert list((project.path / "a/elsewhere").iterdir()) == []


# -- ways to place -----------------------------------------------------------------------------------


def shares_blocks(directory: Path) -> bool:
    from synapse_sync.store.links import clone_file

    (directory / "one").write_bytes(b"1")
    try:
        return clone_file(directory / "one", directory / "two")
    finally:
        for name in ("one", "two"):
            (directory / name).unlink(missing_ok=True)


@pytest.mark.parametrize("mode", ["auto", "hardlink", "symlink", "copy", "move"])
def test_each_mode_places_in_its_way(project: Project, portrait: bytes, mode: str) -> None:
    project.manifest(declare("portrait", head=target("t", ".", mode)))
    project("sync")
    place, at_rest = project.path / CHECKPOINT, blob(project, portrait)
    assert place.read_bytes() == portrait
    assert place.is_symlink() == (mode == "symlink")
    assert at_rest.exists() == (mode != "move")
    if mode in ("hardlink", "symlink", "copy"):
        assert place.samefile(at_rest) == (mode != "copy")
    assert "nothing to do" in project("sync").out
    assert leftovers(project.path) == []


def test_clone_works_or_says_why_not(project: Project, portrait: bytes, tmp_path: Path) -> None:
    project.manifest(declare("portrait", head=target("t", ".", "clone")))
    if shares_blocks(tmp_path):
        project("sync")
        assert not (project.path / CHECKPOINT).samefile(blob(project, portrait))
    else:
        assert "shares blocks" in project("sync", code=9).err
        assert not (project.path / CHECKPOINT).exists()


@pytest.mark.parametrize(
    "modes",  # every mode to every other one
    [
        ("hardlink", "symlink", "copy", "move", "hardlink", "copy", "hardlink"),
        ("symlink", "move", "copy", "symlink", "hardlink", "move", "symlink"),
    ],
)
def test_another_mode_replaces_and_downloads_nothing(
    project: Project, portrait: bytes, modes: tuple[str, ...]
) -> None:
    project("sync")
    project.hub.clear_log()
    place, at_rest = project.path / CHECKPOINT, blob(project, portrait)
    for mode in modes:
        project.manifest(declare("portrait", head=target("default", ".", mode)))
        project("sync")
        assert place.read_bytes() == portrait
        assert (place.is_symlink(), at_rest.exists()) == (mode == "symlink", mode != "move"), mode
        assert mode != "copy" or not place.samefile(at_rest)
        assert "nothing to do" in project("sync").out
    assert project.hub.requests() == []


def test_two_targets_that_move_each_get_a_file_of_their_own(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("a", "a", "move") + target("b", "b", "move")))
    project("sync")
    assert (
        (project.path / "a" / CHECKPOINT).read_bytes() == (project.path / "b" / CHECKPOINT).read_bytes() == portrait
    )
    assert project.blobs() == []
    assert "nothing to do" in project("sync").out


def test_a_move_never_leaves_a_symbolic_link_dangling(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("b", "b", "symlink")))
    project("sync")
    project.manifest(declare("portrait", head=target("a", "a", "move") + target("b", "b", "symlink")))
    project("sync")
    assert (
        (project.path / "a" / CHECKPOINT).read_bytes() == (project.path / "b" / CHECKPOINT).read_bytes() == portrait
    )
    assert "nothing to do" in project("sync").out


def test_a_move_leaves_the_blob_to_other_projects(project: Project, portrait: bytes, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "synapse.toml").write_text(declare("portrait", head=target("t", ".", "symlink")))
    with workspace(tmp_path / "other") as other:
        other.sync()
    project.manifest(declare("portrait", head=target("t", ".", "move")))
    project("sync")
    assert (tmp_path / "other" / CHECKPOINT).read_bytes() == portrait


def test_an_upgrade_in_move_mode_keeps_the_old_bytes(project: Project, portrait: bytes) -> None:
    head = target("t", ".", "move")
    models = f'[models.portrait]\nsource = "civitai:{catalogue.PORTRAIT}"\nfilename = "p.safetensors"\n'
    project.manifest(head + models)
    project("sync")
    catalogue.publish_upgrade(project.hub)
    project("lock", "--upgrade")
    project("sync")
    assert (project.path / "models/checkpoints/p.safetensors").read_bytes() != portrait
    assert project.blobs() == [sha256(portrait)]


def test_a_failed_replacement_leaves_the_old_file_where_it_is(
    project: Project, portrait: bytes, tmp_path: Path
) -> None:
    if shares_blocks(tmp_path):
        pytest.skip("this file system can clone")
    head = target("t", ".", "move")
    models = f'[models.portrait]\nsource = "civitai:{catalogue.PORTRAIT}"\nfilename = "p.safetensors"\n'
    project.manifest(head + models)
    project("sync")
    catalogue.publish_upgrade(project.hub)
    project("lock", "--upgrade")
    project("sync", "--link-mode", "clone", code=9)
    assert (project.path / "models/checkpoints/p.safetensors").read_bytes() == portrait


# -- the store loses something -------------------------------------------------------------------------


def test_a_link_whose_blob_vanished_is_mended(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("t", ".", "symlink")))
    project("sync")
    blob(project, portrait).unlink()
    project.hub.clear_log()
    assert "no longer has" in project("status").out
    project("sync")
    assert (project.path / CHECKPOINT).read_bytes() == portrait
    assert len(downloads(project.hub)) == 1
    assert "nothing to do" in project("sync").out


def test_a_link_whose_blob_vanished_can_be_pruned(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", "eyes", head=target("t", ".", "symlink")))
    project("sync")
    blob(project, portrait).unlink()
    project.manifest(declare("eyes", head=target("t", ".", "symlink")))
    project("sync")
    assert not os.path.lexists(project.path / CHECKPOINT)


@pytest.mark.parametrize("mode", ["hardlink", "copy", "move"])
def test_without_the_store_there_is_still_nothing_to_do(project: Project, portrait: bytes, mode: str) -> None:
    project.manifest(declare("portrait", head=target("t", ".", mode)))
    project("sync")
    shutil.rmtree(project.store)
    project.hub.clear_log()
    assert "nothing to do" in project("sync").out
    assert project.hub.requests() == []


@pytest.mark.parametrize("mode", ["hardlink", "copy", "move"])
def test_what_a_tree_has_is_salvaged_and_not_downloaded(project: Project, portrait: bytes, mode: str) -> None:
    project.manifest(declare("portrait", head=target("a", "a", mode)))
    project("sync")
    shutil.rmtree(project.store)
    project.hub.clear_log()
    project.manifest(declare("portrait", head=target("a", "a", mode) + target("b", "b", "copy")))
    project("sync", "--offline")
    assert (project.path / "b" / CHECKPOINT).read_bytes() == portrait
    assert project.hub.requests() == []
    assert "nothing to do" in project("sync").out


def test_a_renamed_model_is_moved_without_a_download(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("t", ".", "move")))
    project("sync")
    project.hub.clear_log()
    renamed = f'[models.portrait]\nsource = "{MODELS["portrait"]}"\nfilename = "renamed.safetensors"\n'
    project.manifest(target("t", ".", "move") + renamed)
    project("sync", "--offline")
    assert set(project.tree()) == {"models/checkpoints/renamed.safetensors"}
    assert project.hub.requests() == []


def test_a_damaged_copy_is_not_salvaged(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("a", "a", "copy")))
    project("sync")
    place = project.path / "a" / CHECKPOINT
    before = place.stat()
    place.write_bytes(bytes(len(portrait)))
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))  # nobody can see it by stat
    shutil.rmtree(project.store)
    project.hub.clear_log()
    project.manifest(declare("portrait", head=target("a", "a", "copy") + target("b", "b", "copy")))
    project("sync")
    assert (project.path / "b" / CHECKPOINT).read_bytes() == portrait
    assert len(downloads(project.hub)) == 1


def test_a_blob_changed_through_a_hard_link_is_never_given_to_others(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("a", "a", "hardlink")))
    project("sync")
    write_over(project.path / "a" / CHECKPOINT, b"y" * len(portrait))
    project.hub.clear_log()
    project.manifest(declare("portrait", head=target("a", "a", "hardlink") + target("b", "b", "hardlink")))
    project("sync", code=7)
    assert (project.path / "a" / CHECKPOINT).read_bytes() == b"y" * len(portrait), "the user's change is kept"
    assert (project.path / "b" / CHECKPOINT).read_bytes() == portrait
    assert [path.name for path in (project.store / "quarantine").iterdir() if path.suffix != ".why"] == [
        f"{sha256(portrait)}-1"
    ]
    assert len(downloads(project.hub)) == 1


# -- small things ---------------------------------------------------------------------------------------


def test_set_aside_never_overwrites(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "file").write_text(str(number))
        assert set_aside(tmp_path / "file").name == f"file.set-aside-{number + 1}"
    assert (tmp_path / "file.set-aside-1").read_text() == "0"


def test_every_file_that_leaves_has_its_line(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    project.manifest(declare("eyes"))
    project("sync")
    (line,) = journal(project.path)
    assert (line["path"], line["sha256"], line["verb"], line["command"]) == (
        CHECKPOINT,
        sha256(portrait),
        "prune",
        "sync",
    )


def fill_the_disk(monkeypatch: pytest.MonkeyPatch, name: str, *, when: Callable[[int], bool]) -> None:
    real = getattr(os, name)
    count = 0

    def full(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if when(count):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **more)

    monkeypatch.setattr(os, name, full)


@pytest.fixture
def large(project: Project) -> bytes:
    """A locked model that is too large to arrive in one pass; the value is its content."""
    content = safetensors_bytes("large", size=3_000_000)
    project.hub.huggingface.add_repo("large/one", {"large.safetensors": content})
    project.manifest(LARGE)
    project("lock")
    project.hub.clear_log()
    return content


LARGE = '[models.large]\nsource = "hf://large/one/large.safetensors"\ntype = "vae"\n'
LARGE_PATH = "models/vae/large.safetensors"


@pytest.mark.parametrize("small", [False, True])
def test_a_disk_that_fills_up_while_downloading_leaves_nothing_half(
    project: Project, large: bytes, portrait: bytes, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    if not small:
        project.manifest(LARGE)
        project("lock")
    with monkeypatch.context() as patch:
        if small:  # in one pass
            refuse_writes(patch, "")
        else:
            fill_the_disk(patch, "pwrite", when=lambda count: count >= 2)
        assert "is full" in project("sync", code=9).err
    assert project.tree() == {} and project.blobs() == []
    project("sync")
    assert project.tree() == ({CHECKPOINT: portrait} if small else {LARGE_PATH: large})


def refuse_writes(patch: pytest.MonkeyPatch, where: str) -> None:
    """Let no large piece be written to files below a path with this in it."""
    real = os.write

    def full(handle: int, data: Any) -> int:
        if len(data) > 100_000 and where in os.path.realpath(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data)

    patch.setattr(os, "write", full)


def test_a_disk_that_fills_up_while_copying_leaves_nothing_half(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.manifest(declare("portrait", head=target("t", ".", "copy")))
    project("sync", "--dry-run")
    with monkeypatch.context() as patch:
        refuse_writes(patch, "/models/checkpoints")
        assert "is full" in project("sync", code=9).err
    assert project.tree() == {} and leftovers(project.path) == []
    project.hub.clear_log()
    project("sync")
    assert project.tree() == {CHECKPOINT: portrait}
    assert downloads(project.hub) == [], "what was downloaded is in the store"


def test_a_target_that_cannot_be_written_is_reported(project: Project, portrait: bytes, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "ui").mkdir(mode=0o555)
    project.manifest(declare("portrait", head=target("t", str(tmp_path / "ui"))))
    assert "no permission" in project("sync", code=9).err


def test_a_scope_of_one_target_leaves_the_others(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", head=target("a", "a") + target("b", "b")))
    with workspace(project.path) as open_workspace:
        report = open_workspace.sync(Scope(targets=("a",)))
    assert report.exit_code == 0
    assert set(project.tree()) == {f"a/{CHECKPOINT}"}


def test_a_bad_file_of_one_model_does_not_stop_the_others(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("lock")
    project.hub.civitai.replace_content(910_021, safetensors_bytes("another", size=3000))
    project("sync", code=6)
    assert project.tree() == {CHECKPOINT: portrait}


# -- durability -------------------------------------------------------------------------------------


def test_a_directory_is_durable_before_the_receipt_lists_what_was_placed_in_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.manifest(declare("eyes", "sharpen"))
    project("lock")
    seen: list[tuple[str, set[str]]] = []
    settle = tree_module.fsync_dir

    def watched(directory: Path) -> None:
        seen.append((str(directory.relative_to(project.path)), listed(project.path)))
        settle(directory)

    monkeypatch.setattr(tree_module, "fsync_dir", watched)
    project("sync")
    assert {EYES, SHARPEN} <= listed(project.path)
    assert sorted(directory for directory, _ in seen) == sorted({str(Path(EYES).parent), str(Path(SHARPEN).parent)})
    assert all(not known for _, known in seen)


def test_a_directory_that_cannot_be_made_durable_is_reported(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(directory: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(directory))

    with monkeypatch.context() as patch:
        patch.setattr(tree_module, "fsync_dir", broken)
        assert "disk reports an error" in project("sync", code=9).err
    project("sync")
    assert (project.path / CHECKPOINT).read_bytes() == portrait

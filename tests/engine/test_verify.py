from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from workbench import CHECKPOINT, EYES, blob, content_of, declare, downloads, target, workspace, write_over
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine.parallel import Each, Part
from synapse_sync.engine.verify import verify_store
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.hashing import Answer, Question

pytestmark = pytest.mark.usefixtures("impatient")


def placed(project: Project, mode: str, *names: str) -> bytes:
    project.manifest(declare(*(names or ("portrait",)), head=target("t", ".", mode)))
    project("sync")
    return content_of(project.hub, catalogue.PORTRAIT_V1)


def rot(path: Path, content: bytes) -> None:
    """Change bytes so that no stat tells."""
    before = path.stat()
    write_over(path, bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(before.st_mode & 0o777)


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_what_is_right_is_found_right_and_read_once(project: Project, mode: str) -> None:
    good = placed(project, mode)
    with workspace(project.path) as open_workspace:
        result = open_workspace.verify()
    assert (result.files, result.bad, result.set_aside) == (1, (), ())
    assert result.bytes == len(good) * (2 if mode == "copy" else 1)
    assert result.size == len(good), "a copied file counts once for the user"


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_rot_is_found_and_repaired(project: Project, mode: str) -> None:
    good = placed(project, mode)
    rot(project.path / CHECKPOINT, good)
    assert "nothing to do" in project("sync").out, "a stat cannot see it"
    project("verify", code=6)
    project.hub.clear_log()
    project("verify", "--repair")
    assert (project.path / CHECKPOINT).read_bytes() == good
    assert len(downloads(project.hub)) == (0 if mode == "copy" else 1)
    assert "all good" in project("verify").err


def test_what_was_set_aside_is_reported(project: Project) -> None:
    good = placed(project, "symlink")
    rot(project.path / CHECKPOINT, good)
    with workspace(project.path) as open_workspace:
        (said,) = open_workspace.verify(repair=True).set_aside
    (kept,) = [path for path in (project.store / "quarantine").iterdir() if path.suffix != ".why"]
    assert said.endswith(str(kept)) and kept.read_bytes() != good


def test_two_trees_on_one_bad_blob_are_both_repaired(project: Project) -> None:
    project.manifest(declare("portrait", head=target("a", "a", "hardlink") + target("b", "b", "symlink")))
    project("sync")
    good = content_of(project.hub, catalogue.PORTRAIT_V1)
    rot(project.path / "a" / CHECKPOINT, good)
    project("verify", "--repair")
    assert project.tree() == {f"a/{CHECKPOINT}": good, f"b/{CHECKPOINT}": good}


def test_a_bad_blob_behind_a_good_copy_is_reported_and_set_aside(project: Project) -> None:
    good = placed(project, "copy")
    rot(blob(project, good), good)
    assert "store's copy" in project("verify", code=6).err
    assert not blob(project, good).exists()
    assert (project.path / CHECKPOINT).read_bytes() == good
    assert "all good" in project("verify").err


def test_a_missing_file_is_reported_and_placed_again(project: Project) -> None:
    good = placed(project, "copy")
    (project.path / CHECKPOINT).unlink()
    project("verify", code=6)
    project("verify", "--repair", "--offline")
    assert (project.path / CHECKPOINT).read_bytes() == good


def test_a_changed_file_is_reported_and_only_repair_moves_it_aside(project: Project) -> None:
    good = placed(project, "copy")
    place = project.path / CHECKPOINT
    place.write_bytes(b"my own work")
    project("verify", code=6)
    assert place.read_bytes() == b"my own work"
    project("verify", "--repair")
    assert place.read_bytes() == good
    assert place.with_name(place.name + ".set-aside-1").read_bytes() == b"my own work"


def test_a_file_we_never_placed_is_not_moved(project: Project) -> None:
    project.manifest(declare("portrait"))
    project("lock")
    place = project.path / CHECKPOINT
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    project("verify", "--repair", code=7)
    assert place.read_bytes() == b"mine"


def test_a_link_that_the_user_made_is_set_aside_not_deleted(project: Project, tmp_path: Path) -> None:
    good = placed(project, "symlink")
    place = project.path / CHECKPOINT
    (tmp_path / "mine").write_bytes(b"mine")
    place.unlink()
    place.symlink_to(tmp_path / "mine")
    project("verify", "--repair")
    assert place.read_bytes() == good
    assert place.with_name(place.name + ".set-aside-1").readlink() == tmp_path / "mine"


def test_right_bytes_under_the_wrong_name_are_not_right(project: Project) -> None:
    placed(project, "hardlink", "portrait", "eyes")
    (project.path / EYES).unlink()
    os.link(project.path / CHECKPOINT, project.path / EYES)
    result = project("verify", "--json", code=6).json
    assert [bad["message"].split("`")[1] for bad in result["bad"]] == [EYES]


def test_the_whole_store_is_verified_also_without_a_project(project: Project) -> None:
    good = placed(project, "copy", "portrait", "eyes")
    rot(blob(project, good), good)
    looked = verify_store(project.store, repair=False)
    assert (looked.files, len(looked.bad), looked.set_aside) == (2, 1, ())
    assert blob(project, good).exists()
    repaired = verify_store(project.store)
    assert len(repaired.set_aside) == 1 and not blob(project, good).exists()
    project("store", "verify")
    project("verify", "--store")


def test_a_store_that_cannot_be_looked_into_is_no_fault_of_a_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an image that another user made: the placed file is there, and is hashed."""
    project.manifest(declare("portrait", head=target("t", "ui", "copy")))
    project("sync")
    real = Path.exists

    def exists(path: Path) -> bool:
        if "blobs" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "exists", exists)
    assert "all good" in project("verify").err


@pytest.mark.parametrize("words", [["sync", "--force"], ["sync"], ["verify", "--repair"]])
def test_a_changed_file_that_is_its_own_source_stays_and_can_be_locked(project: Project, words: list[str]) -> None:
    """No place has its locked bytes: to move it aside would leave nothing to place."""
    own = project.path / "models/loras/own.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(safetensors_bytes("before"))
    project.manifest(target("t", ".", "auto") + "[models]\n")
    project("import", str(own.parent), "--offline")
    project("sync")
    own.write_bytes(changed := safetensors_bytes("after", size=4000))
    for said in (project(*words, code=7), project("verify", code=6)):
        assert "`synapse lock --upgrade-model own` locks what is there" in " ".join(said.err.split())
        assert "--force" not in said.err and "set aside" not in said.err
    assert [path.name for path in own.parent.iterdir()] == [own.name] and own.read_bytes() == changed
    project("lock", "--upgrade-model", "own")
    project("sync")
    assert "in sync" in project("sync").out and "all good" in project("verify").err
    assert own.read_bytes() == changed


def test_a_changed_file_whose_bytes_the_store_has_is_repaired(project: Project) -> None:
    own = project.path / "models/loras/own.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(good := safetensors_bytes("before"))
    project.manifest(
        target("t", ".", "copy") + '[models]\nown = { source = "./models/loras/own.safetensors", type = "lora" }\n'
    )
    project("lock")
    project("sync")
    own.write_bytes(safetensors_bytes("after", size=4000))
    said = project("verify", "--repair")
    assert str(own.with_name("own.safetensors.set-aside-1")) in said.err.replace("\n", "")
    assert own.read_bytes() == good


def test_what_was_set_aside_is_named_when_the_sync_after_it_fails(project: Project) -> None:
    source = project.path / "source.safetensors"
    source.write_bytes(safetensors_bytes("before"))
    model = '[models.m]\nsource = "./source.safetensors"\ntype = "lora"\n'
    project.manifest(target("t", ".", "move") + model)
    project("sync")
    (place,) = (project.path / "models").rglob("*.safetensors")
    for blob_path in project.blobs():
        blob_path.unlink()
    source.unlink()
    write_over(place, b"other")
    said = project("verify", "--repair", code=4)
    assert "set-aside-1" in said.err.replace("\n", "") and place.with_name(f"{place.name}.set-aside-1").exists()


@pytest.mark.parametrize("words", [["verify"], ["verify", "--repair"]])
def test_a_bad_blob_behind_a_link_that_is_its_own_source_goes_back_to_its_path(
    project: Project, words: list[str]
) -> None:
    """An imported file, moved into the store: a dangling link would be all that is left of its bytes."""
    own = project.path / "models/loras/own.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(safetensors_bytes("before"))
    project.manifest(target("t", ".", "symlink") + "[models]\n")
    project("import", str(own.parent), "--offline", "--move")
    assert own.is_symlink()
    (blob,) = (path for path in (project.store / "blobs").rglob("*") if path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(bad := safetensors_bytes("after!"))
    said = project(*words, code=None)
    assert said.code != 0 and "`synapse lock --upgrade-model own` locks what is there" in " ".join(said.err.split())
    assert not own.is_symlink() and own.read_bytes() == bad and project.blobs() == []
    project("lock", "--upgrade-model", "own")
    project("sync")
    assert "all good" in project("verify").err and own.read_bytes() == bad


def test_a_file_that_was_edited_through_its_link_stays_where_it_is(project: Project) -> None:
    """Neither a look, nor a lock, nor a verification takes it away; `--force` says where its bytes are."""
    good = placed(project, "symlink")
    place = project.path / CHECKPOINT
    mine = good + b"my own change"
    place.resolve().chmod(0o644)
    place.write_bytes(mine)
    for words, code in (("status", 0), ("sync", 7), ("verify", 6), ("lock", 0), ("sync", 7)):
        project(words, code=code)
        assert place.read_bytes() == mine, words
    said = project("sync", "--force").out
    aside = place.with_name(f"{place.name}.set-aside-1")
    assert aside.name in " ".join(said.split()) and not aside.is_symlink()
    assert (place.read_bytes(), aside.read_bytes()) == (good, mine)
    assert "all good" in project("verify").err


def test_an_edit_through_a_link_stays_where_another_target_needs_the_right_bytes(project: Project) -> None:
    head = target("a", "a", "symlink") + target("c", "c", "symlink")
    project.manifest(declare("portrait", head=head))
    project("sync")
    good = content_of(project.hub, catalogue.PORTRAIT_V1)
    place = project.path / "a" / CHECKPOINT
    place.resolve().chmod(0o644)
    place.write_bytes(mine := b"mine" + good)
    project.manifest(declare("portrait", head=head + target("b", "b", "hardlink")))
    project("sync", code=7)
    assert project.tree() == {
        f"a/{CHECKPOINT}": mine, f"b/{CHECKPOINT}": good, f"c/{CHECKPOINT}": mine,
    }  # fmt: skip
    assert not place.is_symlink()


def test_a_changed_blob_that_nobody_links_to_is_named_when_it_is_replaced(project: Project) -> None:
    good = placed(project, "symlink")
    place = project.path / CHECKPOINT
    blob(project, good).chmod(0o644)
    place.write_bytes(b"mine")
    place.unlink()
    said = " ".join(project("sync").err.split())
    (kept,) = [path for path in (project.store / "quarantine").iterdir() if path.suffix != ".why"]
    assert kept.name in said.replace(" ", "") and kept.read_bytes() == b"mine"
    assert place.read_bytes() == good


def test_only_this_process_calls_a_blob_bad(tmp_path: Path) -> None:
    """A worker of a cluster may see another file under a path, or none: its no is checked here."""
    store = BlobStore(tmp_path)
    data = b"content"
    temp = store.temporary()
    temp.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    store.publish(temp, sha256=sha256, size=len(data))

    def says_no(do: object, items: Sequence[Question]) -> Iterator[tuple[Question, Answer]]:
        return ((item, Answer(right=False)) for item in items)

    found = verify_store(tmp_path, part=Part(each=cast(Each, says_no)))
    assert found.ok and found.files == 1 and store.has(sha256)

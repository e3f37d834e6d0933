"""Licence: a receipt that this user's key did not sign is no licence to replace or remove, except by the stat."""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cases import case
from workbench import declare, target
from world import Project

from synapse_sync.core.link_mode import CLAIMED
from synapse_sync.core.look import Looks
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.store import receipt
from synapse_sync.store.licence import read_licensed, write_sealed
from synapse_sync.store.receipt import Receipt, note

pytestmark = pytest.mark.usefixtures("impatient")
KEY = "0123456789abcdef-t"
SHA = "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def root(tmp_path: Path, store: Path) -> Path:
    """A tree with a file and a companion, and its sealed receipt."""
    root = tmp_path / "root"
    root.mkdir()
    entries = {}
    for name, made in (("a.bin", None), ("a.json", "facts")):
        (root / name).write_bytes(b"bytes")
        entries[name] = note(root / name, path=name, sha256=SHA, how="copy", model="m", made=made)
    write_sealed(root, Receipt(project=KEY, target="t", entries=entries), store)
    return root


def hows(root: Path, store: Path | None) -> list[str]:
    found = read_licensed(root, KEY, store)
    assert found is not None
    return [entry.how for entry in found.entries.values()]


def copied(root: Path) -> None:
    """Give each file another inode, with the same times."""
    for name in ("a.bin", "a.json"):
        shutil.copy2(root / name, root / "new")
        (root / "new").replace(root / name)


def edit(root: Path, change: dict[str, Any]) -> None:
    path = receipt.receipt_path(root, KEY)
    data = json.loads(path.read_bytes())
    data["entries"][0] |= change
    path.write_text(json.dumps(data, separators=(",", ":")))


def test_a_sealed_receipt_counts_whatever_the_stat(root: Path, store: Path) -> None:
    copied(root)
    assert hows(root, store) == ["copy", "copy"]
    (root / "a.bin").write_bytes(b"other")
    assert hows(root, store) == ["copy", "copy"]


@pytest.mark.parametrize("reason", ["no store", "another store", "edited", "unsigned", "key replaced"])
def test_any_other_counts_by_inode_and_time_only(root: Path, store: Path, tmp_path: Path, reason: str) -> None:
    asked: Path | None = store
    if reason == "no store":
        asked = None
    elif reason == "another store":
        asked = tmp_path / "elsewhere"
    elif reason == "edited":
        edit(root, {"model": "n"})
    elif reason == "unsigned":
        known = receipt.read(root, KEY)
        assert known is not None
        receipt.write(root, known)
    else:
        (key,) = store.glob("receipt-key-*")
        key.write_bytes(b"x" * 32)
    assert hows(root, asked) == ["copy", "copy"], "the files are those that the receipt knows"
    copied(root)
    assert hows(root, asked) == [CLAIMED, "merged"]
    (root / "a.bin").unlink()
    assert hows(root, asked) == [CLAIMED, "merged"], "another file may appear there"


def test_a_link_to_a_blob_counts_though_the_blob_is_gone(root: Path) -> None:
    place = root / "a.bin"
    place.unlink()
    place.symlink_to(root / SHA)
    edit(root, {"link": str(root / SHA)})
    assert hows(root, None)[0] == "copy"
    place.unlink()
    place.symlink_to(root / "elsewhere")
    assert hows(root, None)[0] == CLAIMED


def test_the_key_is_private_and_stays(root: Path, store: Path) -> None:
    (key,) = store.glob("receipt-key-*")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and key.stat().st_size == 32
    before = key.read_bytes()
    known = read_licensed(root, KEY, store)
    assert known is not None and known.sealed
    write_sealed(root, known, store)
    assert key.read_bytes() == before


@pytest.mark.parametrize("bad", ["directory", "short", "link", "pipe"])
def test_a_key_that_cannot_be_read_is_no_error(root: Path, store: Path, bad: str) -> None:
    (key,) = store.glob("receipt-key-*")
    good = key.read_bytes()
    key.unlink()
    if bad == "directory":
        key.mkdir()
    elif bad == "short":
        key.write_bytes(b"x")
    elif bad == "link":
        (store / "elsewhere").write_bytes(good)
        key.symlink_to(store / "elsewhere")
    else:
        os.mkfifo(key)
    known = read_licensed(root, KEY, store)
    assert known is not None and not known.sealed
    write_sealed(root, known, store)
    assert hows(root, store) == ["copy", "copy"]


# -- a whole sync ----------------------------------------------------------------------------------


NOTES, WEIGHTS = b"notes\n", safetensors_bytes("the user's")


def shipped(project: Project, content: bytes = NOTES) -> tuple[Path, Path]:
    """A file of the user's below a root, and a receipt that says synapse placed it; returns both."""
    (project.path / "first").write_bytes(content)
    text = target("t", "ui", "copy") + '[models.m]\nsource = "./first"\nfilename = "n.dat"\ntype = "lora"\n'
    project.manifest(text)
    project("sync")
    (path,) = (project.path / "ui/.synapse").glob("receipt-*.json")
    place = project.path / "ui/models/loras/n.dat"
    data = json.loads(path.read_bytes())
    shutil.rmtree(project.path / "ui")
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    path.parent.mkdir()
    path.write_text(json.dumps(data | {"seal": "0" * 64}))
    return place, path


@case(193)
@pytest.mark.parametrize("content", [NOTES, WEIGHTS], ids=["notes", "weights"])
@pytest.mark.parametrize("later", ["replaced", "pruned"])
def test_a_receipt_that_a_repository_ships_is_no_licence(project: Project, later: str, content: bytes) -> None:
    """Right after the clone, with the bytes of the user's file guessed."""
    place, _ = shipped(project, content)
    text = (project.path / "synapse.toml").read_text()
    if later == "replaced":
        (project.path / "first").write_bytes(safetensors_bytes("evil"))
        project("lock", "--upgrade")
        assert "is yours" in project("status").out
        assert "synapse trust --take m" in project("sync", code=7).err
        project("verify", "--repair", code=None)
    else:
        project.manifest(text.partition("[models.m]")[0] + declare("portrait"))
        project("lock")
        assert "is yours" in project("status").out
        project("sync")
    assert place.read_bytes() == content
    if later == "replaced":
        assert project("trust", "--take", "m", "--json").json == {"taken": [str(place)]}
        project("sync")
        assert place.read_bytes() == safetensors_bytes("evil"), "on purpose"


@case(193)
def test_the_command_to_take_files_over_ignores_paths_that_only_such_a_receipt_names(project: Project) -> None:
    place, _ = shipped(project, WEIGHTS)
    text = (project.path / "synapse.toml").read_text()
    project.manifest(text.replace("n.dat", "other.dat"))
    assert project("trust", "--take", "m", "--json").json == {"taken": []}
    project("sync")
    assert place.read_bytes() == WEIGHTS


def test_a_claimed_file_that_is_wanted_and_right_is_adopted_with_the_next_change(project: Project) -> None:
    place, _ = shipped(project, WEIGHTS)
    text = (project.path / "synapse.toml").read_text()
    assert "nothing to do" in project("sync").out
    project.manifest(text + declare("portrait"))
    project("sync")
    project.manifest(text.partition("[models.m]")[0] + declare("portrait"))
    project("sync")
    assert not place.exists(), "adopted weights inside of the project are synapse's"


@case(193)
def test_a_receipt_that_lists_a_file_before_the_user_makes_it_is_no_licence(project: Project) -> None:
    """The sync in between signs the receipt anew; what another one had said must not become synapse's word."""
    place, _ = shipped(project)
    place.unlink()
    text = (project.path / "synapse.toml").read_text()
    project.manifest(text.partition("[models.m]")[0] + declare("portrait"))
    project("sync", "--only", "portrait")
    place.write_bytes(b"notes\n")
    project("sync")
    assert place.read_bytes() == b"notes\n"


@case(193)
def test_a_sidecar_that_a_shipped_receipt_lists_is_merged_into(project: Project) -> None:
    text = target("t", "ui", "copy") + "[workspace]\nsidecars = true\n"
    project.manifest(declare("portrait", head=text))
    project("sync")
    (path,) = (project.path / "ui/.synapse").glob("receipt-*.json")
    data = json.loads(path.read_bytes())
    sidecars = [project.path / "ui" / entry["path"] for entry in data["entries"] if entry["made"] is not None]
    assert sidecars
    for place in sidecars:
        shutil.copy2(place, place.with_name("copy"))
        place.with_name("copy").replace(place)
    path.write_text(json.dumps(data | {"seal": "0" * 64}))
    project.manifest(declare("eyes", head=text))
    project("sync")
    assert all(place.exists() for place in sidecars)


def looks(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in root.rglob("*")}


@pytest.mark.parametrize("mode", ["copy", "symlink"])
def test_a_sync_of_a_copied_volume_hashes_and_writes_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    project.manifest(declare("portrait", "eyes", head=target("t", "ui", mode)))
    project("sync")
    for directory in (project.path / "ui", project.store):
        directory.rename(tmp_path / "old")
        shutil.copytree(tmp_path / "old", directory, symlinks=True)
        shutil.rmtree(tmp_path / "old")
    before = looks(project.path) | looks(project.store / "blobs")
    monkeypatch.setattr("synapse_sync.engine.observe.hash_file", lambda *_: pytest.fail("hashed"))
    assert "nothing to do" in project("sync").out
    assert looks(project.path) | looks(project.store / "blobs") == before


@pytest.mark.parametrize("seals", [True, False])
def test_a_copied_volume_beside_a_new_store_is_pruned_as_before_where_it_counts(
    project: Project, seals: bool
) -> None:
    project.manifest(declare("portrait", "eyes", head=target("t", "ui", "copy")))
    project("sync")
    (key,) = project.store.glob("receipt-key-*")
    if not seals:
        key.unlink()
    project.manifest(declare("eyes", head=target("t", "ui", "copy")))
    project("sync")
    assert not (project.path / "ui/models/checkpoints/portrait_v1.safetensors").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no time of the last change")
def test_a_time_that_follows_from_the_lockfile_is_no_licence(root: Path, store: Path) -> None:
    """Everybody can compute it: without a signature the time of the last change must be right, too."""
    look = Looks().of_file("m", SHA)
    os.utime(root / "a.bin", ns=(0, look.mtime_ns))
    entries = {"a.bin": note(root / "a.bin", path="a.bin", sha256=SHA, how="copy", model="m")}
    write_sealed(root, Receipt(project=KEY, target="t", entries=entries), None)
    assert hows(root, None) == ["copy"], "a tree of a group, and a volume whose store is new"
    os.utime(root / "a.bin", ns=(1, look.mtime_ns))  # another file that was given the same time
    assert hows(root, None) == [CLAIMED]


# -- plain receipts -----------------------------------------------------------------------------------


@pytest.fixture
def plain(root: Path, store: Path) -> Path:
    """The receipt of a reproducible workspace: it says nothing of this machine, and the store does."""
    entries = {
        name: note(root / name, path=name, sha256=SHA, how="copy", model="m", sampled=True)
        for name in ("a.bin", "a.json")
    }
    write_sealed(root, Receipt(project=KEY, target="t", entries=entries, complete="x"), store, is_plain=True)
    return receipt.receipt_path(root, KEY)


def test_a_plain_receipt_counts_where_the_store_knows_it(plain: Path, root: Path, store: Path) -> None:
    assert b'"inode":0' in plain.read_bytes() and b"seal" not in plain.read_bytes()
    known = read_licensed(root, KEY, store)
    assert known is not None and known.sealed and known.complete is None
    assert known.entries["a.bin"].inode == (root / "a.bin").stat().st_ino
    assert hows(root, None) == [CLAIMED, CLAIMED]


@pytest.mark.parametrize("reason", ["edited", "log", "note edited", "another root"])
def test_a_plain_receipt_counts_only_as_it_was_written(plain: Path, root: Path, store: Path, reason: str) -> None:
    (remembered,) = (store / "receipts").iterdir()
    if reason == "edited":
        plain.write_bytes(plain.read_bytes().replace(b'"model":"m"', b'"model":"n"'))
    elif reason == "log":
        plain.with_suffix(".log").write_text("{}\n")
    elif reason == "note edited":
        remembered.write_bytes(remembered.read_bytes().replace(b"a.bin", b"b.bin"))
    else:
        shutil.copytree(root, root.with_name("other"), symlinks=True)
        root = root.with_name("other")
    assert hows(root, store) == [CLAIMED, CLAIMED]


def test_the_store_keeps_one_note_of_a_plain_receipt(plain: Path, root: Path, store: Path) -> None:
    known = read_licensed(root, KEY, store)
    assert known is not None
    write_sealed(root, replace(known, target="u"), store, is_plain=True)
    assert len(list((store / "receipts").iterdir())) == 1
    assert hows(root, store) == ["copy", "copy"]

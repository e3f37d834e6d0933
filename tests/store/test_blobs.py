"""The store: a blob is whole or absent, a changed one is found out, and nothing of the user's is lost."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from world import meanwhile, opened

from synapse_sync.errors import Conflict, IntegrityError, StorageError
from synapse_sync.store import blobs, links
from synapse_sync.store.blobs import BlobStore

DATA = b"weights" * 1000
SHA = hashlib.sha256(DATA).hexdigest()
B3 = blake3(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


def put(store: BlobStore, data: bytes = DATA, **more: str | None) -> Path:
    temp = store.temporary()
    temp.write_bytes(data)
    return store.publish(temp, sha256=hashlib.sha256(data).hexdigest(), size=len(data), **more)


def meta_path(store: BlobStore, sha256: str = SHA) -> Path:
    return store.root / "meta" / sha256[:2] / f"{sha256}.json"


def damage(path: Path, data: bytes | None = None) -> None:
    """Change a blob as somebody would through a hard link, with another modification time for certain."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"X" if data is None else data)
    os.utime(path, ns=(1, 1))


@contextlib.contextmanager
def no_hashing(store: BlobStore) -> Iterator[None]:
    """The blob is not even opened."""
    with opened() as paths:
        yield
    assert str(store.path(SHA)) not in paths


def test_publish(store: BlobStore) -> None:
    path = put(store, blake3=B3, origin="civitai:1@2")
    assert path == store.path(SHA) == store.root / "blobs" / "sha256" / SHA[:2] / SHA
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert (store.blake3(SHA), store.origin(SHA)) == (B3, "civitai:1@2")
    assert json.loads(meta_path(store).read_bytes()) == {
        "size": len(DATA), "mtime_ns": path.stat().st_mtime_ns, "blake3": B3, "origin": "civitai:1@2",
    }  # fmt: skip
    assert list((store.root / "tmp").iterdir()) == []


def test_root_is_absolute(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        assert BlobStore(Path("store")).root == tmp_path / "store"


def test_a_large_blob_without_a_blake3_learns_it_when_it_is_verified(store: BlobStore) -> None:
    data = DATA * (9 * 1024 * 1024 // len(DATA))
    sha256 = hashlib.sha256(data).hexdigest()
    temp = store.temporary()
    temp.write_bytes(data)
    path = store.publish(temp, sha256=sha256, size=len(data), origin="civitai:1@2")
    assert store.blake3(sha256) is None and store.verify(sha256)
    assert store.blake3(sha256) == blake3(data).hexdigest() and store.origin(sha256) == "civitai:1@2"
    damage(path)
    assert not store.verify(sha256)


def test_publish_again_keeps_the_first(store: BlobStore) -> None:
    inode = put(store).stat().st_ino
    assert store.blake3(SHA) is None
    assert put(store, blake3=B3).stat().st_ino == inode
    assert store.blake3(SHA) == B3
    assert list((store.root / "tmp").iterdir()) == []


def test_publish_does_not_replace_a_changed_blob(store: BlobStore) -> None:
    """Neither way to publish; once it is set aside, both do."""
    path = put(store)
    damage(path)
    bad = path.read_bytes()
    with pytest.raises(Conflict, match="through a link"):
        put(store)
    with pytest.raises(Conflict, match="through a link"):
        store.publish_bytes(memoryview(DATA), sha256=SHA, origin="civitai:1@2")
    assert path.read_bytes() == bad
    assert list((store.root / "partials").iterdir()) == [] and not (store.root / "quarantine").exists()
    store.quarantine(SHA, "changed")
    assert put(store).read_bytes() == DATA and store.has(SHA)


def test_publish_refuses_a_wrong_size(store: BlobStore) -> None:
    temp = store.temporary()
    temp.write_bytes(DATA)
    with pytest.raises(IntegrityError, match="instead of 5"):
        store.publish(temp, sha256=SHA, size=5)
    assert not store.path(SHA).exists()


def test_failed_fsync_publishes_nothing(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(blobs, "fsync_file", broken)
    with pytest.raises(StorageError, match="the disk reports an error"):
        put(store)
    assert not store.path(SHA).exists()
    assert list((store.root / "tmp").iterdir()) == []  # after a failed fsync its pages cannot be trusted


@pytest.mark.parametrize("bad", ["", "../../etc", SHA.upper(), SHA[:-1], "g" * 64])
def test_path_takes_digests_only(store: BlobStore, bad: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        store.path(bad)


def test_has_without_hashing(store: BlobStore) -> None:
    assert not store.has(SHA)
    put(store)
    with no_hashing(store):
        assert store.has(SHA)


def test_the_true_size_of_a_blob_is_said_where_another_one_is_believed(store: BlobStore) -> None:
    assert store.true_size(SHA, 5) is None
    path = put(store)
    assert store.true_size(SHA, 5) == len(DATA)
    assert store.true_size(SHA, len(DATA)) is None
    path.chmod(0o644)
    path.write_bytes(DATA + b"more")  # wrong bytes have no true size
    assert store.true_size(SHA, len(DATA)) is None


@pytest.mark.parametrize("note", [None, b"", b"[]", b"{not json", b'{"size": 1}', b"[" * 100_000])
def test_has_without_a_note_hashes_and_remembers(store: BlobStore, note: bytes | None) -> None:
    put(store)
    meta_path(store).unlink()
    if note is not None:
        meta_path(store).write_bytes(note)
    assert store.has(SHA)
    with no_hashing(store):
        assert store.has(SHA)


def test_has_after_a_touch_hashes_again(store: BlobStore) -> None:
    os.utime(put(store, blake3=B3), ns=(5000, 5000))
    assert store.has(SHA)
    assert json.loads(meta_path(store).read_bytes())["mtime_ns"] == 5000
    assert store.blake3(SHA) == B3


@pytest.mark.parametrize("data", [None, b"", DATA + b"more"])
def test_change_through_a_hard_link_is_found(store: BlobStore, tmp_path: Path, data: bytes | None) -> None:
    path = put(store)
    os.link(path, tmp_path / "model.safetensors")
    damage(tmp_path / "model.safetensors", data)
    changed = (tmp_path / "model.safetensors").read_bytes()
    assert not store.has(SHA) and not store.has(SHA)
    assert path.read_bytes() == changed, "to look changes nothing: a link of the user may lead here"
    aside = store.quarantine(SHA, "changed")
    assert aside is not None and aside.read_bytes() == changed
    assert "changed" in aside.with_name(f"{SHA}-1.why").read_text()
    assert put(store).read_bytes() == DATA and store.has(SHA)
    assert (tmp_path / "model.safetensors").read_bytes() == changed  # the user's file is the user's


def test_blob_that_changes_while_it_is_hashed(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(store)
    os.utime(path, ns=(5000, 5000))

    def hashed(where: Path) -> str:
        os.utime(where, ns=(6000, 6000))
        return "0" * 64

    monkeypatch.setattr(blobs, "hash_file", hashed)
    assert not store.has(SHA)
    assert path.exists()  # a moment later it may be the good one that another process has just published
    monkeypatch.undo()
    assert store.has(SHA)


def test_something_else_in_the_place_of_a_blob(store: BlobStore, tmp_path: Path) -> None:
    store.path(SHA).parent.mkdir(parents=True)
    store.path(SHA).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="not a regular file"):
        store.has(SHA)


@pytest.mark.parametrize("b3", [None, B3])
def test_verify(store: BlobStore, b3: str | None) -> None:
    assert not store.verify(SHA)
    path = put(store, blake3=b3)
    assert store.verify(SHA)
    kept = path.stat()
    path.chmod(0o644)
    path.write_bytes(DATA[:-1] + b"X")
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # bit rot: the stat tells nothing
    assert store.has(SHA)
    assert not store.verify(SHA)
    assert path.exists()  # setting aside is the caller's choice …
    assert not store.has(SHA)  # … but it is trusted no more


def test_verify_uses_blake3_where_known(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, blake3=B3)
    monkeypatch.setattr(blobs, "hash_file", lambda path: pytest.fail("read by SHA-256"))
    assert store.verify(SHA)


def test_wrong_blake3_note_is_no_verdict(store: BlobStore) -> None:
    put(store, blake3="0" * 64)
    assert store.verify(SHA)


def test_empty_blob(store: BlobStore) -> None:
    sha256 = hashlib.sha256(b"").hexdigest()
    put(store, b"", blake3=blake3(b"").hexdigest())
    assert store.has(sha256)
    assert store.verify(sha256)


def test_matches_a_file_elsewhere(store: BlobStore, tmp_path: Path) -> None:
    put(store, blake3=B3)
    for data in (DATA, DATA[::-1], b""):
        (tmp_path / "file").write_bytes(data)
        assert store.matches(tmp_path / "file", SHA) == (data == DATA)


def test_quarantine(store: BlobStore) -> None:
    assert store.quarantine(SHA, "why not") is None
    for number in (1, 2):
        put(store)
        aside = store.quarantine(SHA, f"reason {number}")
        assert aside == store.root / "quarantine" / f"{SHA}-{number}"
        assert aside.read_bytes() == DATA
        assert aside.with_name(f"{SHA}-{number}.why").read_text() == f"reason {number}\n"
        assert not store.has(SHA)


def test_entries_ignore_strangers(store: BlobStore, tmp_path: Path) -> None:
    assert list(store.entries()) == []
    path = put(store)
    directory = store.root / "blobs" / "sha256"
    (directory / "README").write_text("hello")
    (directory / "ab").write_text("a file where a directory is expected") if SHA[:2] != "ab" else None
    (path.parent / "notes.txt").write_text("hello")
    (path.parent / ("0" * 64 if SHA[:2] != "00" else "1" * 64)).write_text("in the wrong directory")
    (path.parent / (SHA[:2] + "0" * 62)).symlink_to(path)
    (path.parent / (SHA[:2] + "1" * 62)).mkdir()
    (entry,) = store.entries()
    found = path.stat()
    assert (entry.sha256, entry.size, entry.mtime_ns, entry.path) == (SHA, len(DATA), found.st_mtime_ns, path)


def test_remove_returns_what_it_frees(store: BlobStore, tmp_path: Path) -> None:
    assert store.remove(SHA) == 0
    other = put(store, b"other")
    os.link(put(store), tmp_path / "placed")
    assert store.remove(SHA) == 0  # the tree still holds the bytes
    assert (tmp_path / "placed").read_bytes() == DATA
    assert not meta_path(store).exists()
    put(store)
    assert store.remove(SHA) == len(DATA)
    assert not store.has(SHA)
    assert other.exists()


def test_sweep_takes_only_old_temporary_files(store: BlobStore) -> None:
    assert store.sweep() == 0
    old, new = store.temporary(), store.temporary()
    foreign = store.root / "tmp" / "precious.safetensors"
    for path in (old, new, foreign):
        path.write_bytes(b"12345")
    for path in (old, foreign):
        os.utime(path, (1, 1))
    assert store.sweep() == 5
    assert not old.exists()
    assert new.exists()
    assert foreign.exists()


def test_sweep_takes_trials_that_a_kill_interrupted(store: BlobStore) -> None:
    put(store)
    trial = store.root / "blobs" / f"{links.PREFIX}1-0123456789ab"
    trial.touch()
    store.sweep()
    assert trial.exists(), "its process may still be at work"
    store.sweep(time.time() + 2 * links.STALE)
    assert not trial.exists() and store.has(SHA)


# -- import_file -------------------------------------------------------------------------------------


def test_import_copies(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    source.write_bytes(DATA)
    path = store.import_file(source, sha256=SHA)
    assert source.read_bytes() == path.read_bytes() == DATA
    assert path.stat().st_ino != source.stat().st_ino
    assert stat.S_IMODE(source.stat().st_mode) != 0o444
    assert store.blake3(SHA) == B3
    assert store.has(SHA)
    assert store.import_file(source, sha256=SHA) == path


def test_import_moves(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    source.write_bytes(DATA)
    inode = source.stat().st_ino
    path = store.import_file(source, sha256=SHA, move=True)
    assert not source.exists()
    assert path.stat().st_ino == inode  # renamed, not copied
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert store.verify(SHA)


@pytest.mark.parametrize("move", [False, True])
def test_import_refuses_other_content(store: BlobStore, tmp_path: Path, move: bool) -> None:
    source = tmp_path / "model.safetensors"
    source.write_bytes(b"edited by the user")
    with pytest.raises(IntegrityError, match="does not have the content"):
        store.import_file(source, sha256=SHA, move=move)
    assert source.read_bytes() == b"edited by the user"
    assert not store.has(SHA)
    assert not list((store.root / "tmp").glob("*"))


def test_import_move_of_what_the_store_has(store: BlobStore, tmp_path: Path) -> None:
    put(store)
    source = tmp_path / "model.safetensors"
    source.write_bytes(b"edited by the user")
    with pytest.raises(IntegrityError):  # although the store has the blob: other bytes must not go
        store.import_file(source, sha256=SHA, move=True)
    source.write_bytes(DATA)
    store.import_file(source, sha256=SHA, move=True)
    assert not source.exists()
    assert store.verify(SHA)


def test_import_move_of_a_file_with_another_name(store: BlobStore, tmp_path: Path) -> None:
    source, other = tmp_path / "a", tmp_path / "b"
    source.write_bytes(DATA)
    os.link(source, other)
    path = store.import_file(source, sha256=SHA, move=True)
    assert not source.exists()
    assert path.stat().st_ino != other.stat().st_ino  # else whoever edits `b` edits the blob
    assert os.access(other, os.W_OK)
    assert stat.S_IMODE(other.stat().st_mode) != 0o444


def test_import_move_across_file_systems(store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "model.safetensors"
    source.write_bytes(DATA)
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    store.import_file(source, sha256=SHA, move=True)
    assert not source.exists()
    assert store.verify(SHA)


def test_import_move_of_a_file_that_changes_meanwhile(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    source.write_bytes(DATA)

    def train() -> None:
        source.write_bytes(b"a newer training run")
        os.utime(source, ns=(7, 7))

    with meanwhile("os.rename", source, train), pytest.raises(Conflict, match="changed while"):
        store.import_file(source, sha256=SHA, move=True)
    assert source.read_bytes() == b"a newer training run"
    assert not store.has(SHA)


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_import_move_of_something_else(store: BlobStore, tmp_path: Path, kind: str) -> None:
    source, real = tmp_path / "source", tmp_path / "real"
    real.write_bytes(DATA)
    if kind == "link":
        source.symlink_to(real)
    elif kind == "directory":
        source.mkdir()
    else:
        os.mkfifo(source)
    with pytest.raises(Conflict, match="not a regular file"):
        store.import_file(source, sha256=SHA, move=True)
    assert os.path.lexists(source)
    if kind == "link":  # a copy of what it leads to is no harm
        assert store.import_file(source, sha256=SHA).read_bytes() == DATA
        assert source.is_symlink()


def test_import_of_nothing(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="taking absent into the store: No such file"):
        store.import_file(tmp_path / "absent", sha256=SHA)


def test_full_disk_while_importing(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    source.write_bytes(DATA)

    def full(count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="full"):
        store.import_file(source, sha256=SHA, advanced=full)
    assert list((store.root / "tmp").iterdir()) == []
    assert source.read_bytes() == DATA

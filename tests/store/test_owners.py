"""Owners: whose blobs in a shared store are linked, and whose are hashed each time and copied."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from synapse_sync.errors import Conflict
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.owners import Owners
from synapse_sync.store.project_note import completed, note_path

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can make files of other users"
)
OTHER = 12345
GOOD = b"good weights"
EVIL = b"evil weights"
DIGEST = hashlib.sha256(GOOD).hexdigest()


def stored(root: Path, data: bytes, *, owner: int, noted_by: int | None = None) -> Path:
    """A blob under the digest of the good bytes, and perhaps the note that it was looked at."""
    store = BlobStore(root)
    blob, note = store.path(DIGEST), root / f"meta/{DIGEST[:2]}/{DIGEST}.json"
    for path in (blob, note):
        path.parent.mkdir(parents=True)
    blob.write_bytes(data)
    os.chown(blob, owner, owner)
    if noted_by is not None:
        from blake3 import blake3

        found = blob.stat()
        value = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "blake3": blake3(data).hexdigest()}
        note.write_text(json.dumps(value))
        os.chown(note, noted_by, noted_by)
    return blob


def seen(root: Path, uid: int) -> os.stat_result:
    """The stat of a file of this user."""
    place = root / f"file-{uid}"
    place.touch()
    os.chown(place, uid, uid)
    return place.stat()


@pytest.mark.parametrize(
    ("trusted", "holds"),
    [
        ((), False),
        (("12345",), True),
        (("1",), False),
        (("nobody-of-this-name", "@no-such-group"), False),
    ],
)
def test_another_user_is_trusted_by_name_only(tmp_path: Path, trusted: tuple[str, ...], holds: bool) -> None:
    owners = Owners(tmp_path, trusted)
    assert owners.trust(seen(tmp_path, OTHER)) is holds
    assert owners.trust(seen(tmp_path, 0))


def test_for_root_the_user_is_the_one_who_called_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(tmp_path, OTHER)
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    assert Owners(tmp_path).trust(found)
    monkeypatch.setenv("SUDO_UID", "1")
    assert not Owners(tmp_path).trust(found)


def test_names_of_users_and_of_their_groups(tmp_path: Path) -> None:
    import grp
    import pwd

    user = next(user for user in pwd.getpwall() if user.pw_uid not in (0, os.geteuid()))
    group = grp.getgrgid(user.pw_gid).gr_name
    found = seen(tmp_path, user.pw_uid)
    assert not Owners(tmp_path).trust(found)
    for name in (user.pw_name, group, f"@{group}", str(user.pw_uid)):
        assert Owners(tmp_path, [name]).trust(found)


def test_what_my_own_files_belong_to_is_what_the_mount_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount with root-squash gives every file of root to nobody."""
    real = os.fstat

    def squashed(handle: int) -> os.stat_result:
        found = list(real(handle))
        found[4] = OTHER
        return os.stat_result(found)

    found = seen(tmp_path, OTHER)
    assert not Owners(tmp_path).trust(found)
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", squashed)
        assert Owners(tmp_path).trust(found)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("noted_by", [None, OTHER, 0])
def test_a_blob_of_another_user_is_hashed_whatever_is_noted(tmp_path: Path, noted_by: int | None) -> None:
    stored(tmp_path, EVIL, owner=OTHER, noted_by=noted_by)
    store = BlobStore(tmp_path)
    assert not store.has(DIGEST)
    with pytest.raises(Conflict, match="somebody"):
        store.make_way(DIGEST)
    assert store.path(DIGEST).read_bytes() == EVIL


def test_right_bytes_of_another_user_are_used_and_watched(tmp_path: Path) -> None:
    blob = stored(tmp_path, GOOD, owner=OTHER, noted_by=OTHER)
    store = BlobStore(tmp_path)
    assert store.has(DIGEST) and store.is_foreign(DIGEST)
    found = blob.stat()
    blob.write_bytes(EVIL)
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert not store.has(DIGEST), "its owner can set the time of the last write"


def test_a_note_of_another_user_about_my_blob_is_not_believed(tmp_path: Path) -> None:
    stored(tmp_path, EVIL, owner=0, noted_by=OTHER)
    assert not BlobStore(tmp_path).verify(DIGEST), "nor is its BLAKE3, which verify would compare first"
    assert not BlobStore(tmp_path).has(DIGEST)


@pytest.mark.parametrize("owner", [0, OTHER])
def test_blobs_of_trusted_owners_are_as_before(tmp_path: Path, owner: int) -> None:
    stored(tmp_path, GOOD, owner=owner, noted_by=owner)
    store = BlobStore(tmp_path, Owners(tmp_path, [str(OTHER)]))
    assert store.has(DIGEST) and not store.is_foreign(DIGEST)


@pytest.mark.parametrize(("owner", "counts"), [(0, True), (OTHER, False)])
def test_only_an_own_note_says_that_all_is_well(tmp_path: Path, owner: int, counts: bool) -> None:
    note = Path(note_path(tmp_path, "key"))
    note.parent.mkdir()
    note.write_text(json.dumps({"complete": "state", "roots": {}}))
    os.chown(note, owner, owner)
    assert completed(tmp_path, "key") == (("state", []) if counts else None)

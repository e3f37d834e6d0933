"""Consent is kept for one user and one project, and nobody else can say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cases import case

from synapse_sync.core.trust import Capability, Kind
from synapse_sync.errors import StorageError
from synapse_sync.store.durable import write_private
from synapse_sync.user.consent import ConsentFiles

HERE, OTHER = Path("/home/me/clone"), Path("/home/me/copy")
ROOT, FILE = Capability(Kind.FLAT_ROOT, "/home/me/bin"), Capability(Kind.SOURCE, "/home/me/ä.bin")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="files of another user")


def folder(place: Path) -> Path:
    (found,) = place.glob("trust*")
    return found


@pytest.fixture
def files(tmp_path: Path) -> ConsentFiles:
    return ConsentFiles((tmp_path / "store", tmp_path / "config"), write_private)


def test_kept_added_and_revoked(files: ConsentFiles, tmp_path: Path) -> None:
    assert files.read("k", HERE) == frozenset() and files.revoke("k", HERE) == frozenset()
    files.keep("k", HERE, {ROOT})
    files.keep("k", HERE, {FILE})
    assert files.read("k", HERE) == {ROOT, FILE}
    assert files.all() == {str(HERE): {ROOT, FILE}}
    assert folder(tmp_path / "store").stat().st_mode & 0o777 == 0o700
    assert files.revoke("k", HERE) == {ROOT, FILE}
    assert files.read("k", HERE) == frozenset() and files.all() == {}


def test_another_project_with_the_same_key_has_none(files: ConsentFiles) -> None:
    files.keep("k", HERE, {ROOT})
    assert files.read("k", OTHER) == frozenset()


def test_nothing_is_written_for_nothing_new(files: ConsentFiles, tmp_path: Path) -> None:
    files.keep("k", HERE, ())
    assert not (tmp_path / "store").exists()
    files.keep("k", HERE, {ROOT})
    before = (folder(tmp_path / "store") / "k.json").stat().st_mtime_ns
    files.keep("k", HERE, {ROOT})
    assert (folder(tmp_path / "store") / "k.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"project": 1}', '{"project": "/home/me/clone", "agreed": {"all": ["x"]}}']
)
def test_a_damaged_file_is_no_consent(files: ConsentFiles, tmp_path: Path, text: str) -> None:
    files.keep("k", HERE, {ROOT})
    (folder(tmp_path / "store") / "k.json").write_text(text)
    assert files.read("k", HERE) == frozenset()


@case(191)
def test_a_folder_or_file_that_others_may_write_to_is_no_consent(files: ConsentFiles, tmp_path: Path) -> None:
    files.keep("k", HERE, {ROOT})
    mine = folder(tmp_path / "store")
    for path in (mine, mine / "k.json"):
        mode = path.stat().st_mode
        path.chmod(mode | 0o020)
        assert files.read("k", HERE) == frozenset() and files.all() == {}
        path.chmod(mode)
    assert files.read("k", HERE) == {ROOT}


def test_a_link_to_a_folder_is_not_written_through(files: ConsentFiles, tmp_path: Path) -> None:
    files.keep("k", HERE, {ROOT})
    mine = folder(tmp_path / "store")
    real = mine.rename(tmp_path / "elsewhere")
    mine.symlink_to(real)
    assert files.read("k", HERE) == frozenset()
    before = (real / "k.json").read_bytes()
    files.keep("k", HERE, {FILE})
    assert (real / "k.json").read_bytes() == before
    assert files.read("k", HERE) == {FILE}  # beside the settings


@case(191)
@as_root
def test_the_consent_of_another_user_counts_for_nothing(files: ConsentFiles, tmp_path: Path) -> None:
    files.keep("k", HERE, {ROOT})
    mine = folder(tmp_path / "store")
    for path in (mine, mine / "k.json"):
        os.chown(path, 12345, -1)
        assert files.read("k", HERE) == frozenset() and files.all() == {}
        os.chown(path, os.geteuid(), -1)
    assert files.read("k", HERE) == {ROOT}


def test_no_place_to_write_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        ConsentFiles((tmp_path / "file",), write_private).keep("k", HERE, {ROOT})


@as_root
def test_where_the_mount_shows_another_owner_my_files_are_mine(tmp_path: Path) -> None:
    """As with root-squash: a file that root makes there is nobody's, and so are folder and file of the consent."""
    squashed = ConsentFiles((tmp_path / "store",), write_private, lambda place: 65534)
    ConsentFiles((tmp_path / "store",), write_private).keep("k", HERE, {ROOT})
    for path in (folder(tmp_path / "store"), *folder(tmp_path / "store").iterdir()):
        os.chown(path, 65534, 65534)
    assert squashed.read("k", HERE) == {ROOT}
    assert ConsentFiles((tmp_path / "store",), write_private, lambda place: 0).read("k", HERE) == frozenset()
    assert ConsentFiles((tmp_path / "store",), write_private).read("k", HERE) == frozenset()
    folder(tmp_path / "store").chmod(0o777)
    assert squashed.read("k", HERE) == frozenset()

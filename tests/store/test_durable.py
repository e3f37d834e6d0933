"""Durable writes: whole or not at all, with the right permissions, and never through a stranger's link."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from world import names_in

from synapse_sync.errors import Conflict, StorageError
from synapse_sync.store import durable
from synapse_sync.store.durable import (
    READ_ONLY,
    SHARED,
    behind_link,
    fsync_dir,
    keep_private,
    make_dirs,
    narrowed,
    own_directory,
    rename_new,
    set_mode,
    storage_error,
    umask,
    write_atomic,
    write_private,
)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "synapse.lock"
    write_atomic(path, b"one")
    before = path.stat().st_ino
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_ino != before  # a reader of the old file keeps the old file
    assert names_in(tmp_path) == ["synapse.lock"]


def test_mode_of_new_and_existing(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomic(tmp_path / "new", b"x")
        write_atomic(tmp_path / "secret", b"x", mode=0o600)
        (tmp_path / "shared").touch()
        (tmp_path / "shared").chmod(0o664)
        write_atomic(tmp_path / "shared", b"x")
    finally:
        os.umask(old)
    assert [mode_of(tmp_path / name) for name in ("new", "secret", "shared")] == [0o640, 0o600, 0o664]


@pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077])
def test_modes_follow_the_umask(tmp_path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        write_atomic(tmp_path / "new", b"x")
        write_private(tmp_path / "private", b"x")
        set_mode(tmp_path / "new", READ_ONLY)
        read_only = mode_of(tmp_path / "new")
        set_mode(tmp_path / "new", SHARED)
        found = umask()
    finally:
        os.umask(old)
    assert (found, read_only, mode_of(tmp_path / "new")) == (mask, 0o444 & ~mask, 0o666 & ~mask)
    assert mode_of(tmp_path / "private") == 0o600 & ~mask


def test_the_umask_is_known_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_proc(*_: object) -> str:
        raise FileNotFoundError(errno.ENOENT, "no such file")

    old = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", no_proc)
            assert umask() == 0o027
        assert umask() == 0o027, "it is as it was"
    finally:
        os.umask(old)


REFUSALS = [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]


@pytest.mark.parametrize("number", REFUSALS)
def test_a_mode_that_is_refused_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "chmod", refuse)
    write_atomic(tmp_path / "file", b"one")
    write_atomic(tmp_path / "file", b"two")
    set_mode(tmp_path / "file", READ_ONLY)
    assert (tmp_path / "file").read_bytes() == b"two"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ENOENT])
def test_other_errors_of_a_mode_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "chmod", broken)
    with pytest.raises(OSError, match=str(number)):
        set_mode(tmp_path / "file", READ_ONLY)


def test_a_directory_that_may_not_be_read_is_not_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory into which one may write, and which one may not open."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    fsync_dir(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "write", "replace"])
def test_old_content_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "receipt.json"
    write_atomic(path, b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(durable.os, "fsync", full)
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr(durable.os, "fdopen", full)
    with pytest.raises(StorageError, match=r"writing receipt\.json: the disk .* is full") as caught:
        write_atomic(path, b"new")
    assert caught.value.exit_code == 9
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["receipt.json"]


def test_missing_directory_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="writing x: No such file"):
        write_atomic(tmp_path / "absent" / "x", b"")


def test_link_to_same_name_is_written_through_on_request(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    real = tmp_path / "dotfiles" / "synapse.toml"
    real.write_text("old")
    link = tmp_path / "synapse.toml"
    link.symlink_to(real)
    write_atomic(behind_link(link), b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.parametrize("there", [True, False])
def test_link_to_another_name_is_refused(tmp_path: Path, there: bool) -> None:
    victim = tmp_path / ".bashrc"
    if there:
        victim.write_text("precious")
    link = tmp_path / "synapse.lock"
    link.symlink_to(victim)
    with pytest.raises(Conflict, match="not written through"):
        behind_link(link)


def test_link_out_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "project" / "locks").mkdir(parents=True)
    (tmp_path / "another").mkdir()
    link = tmp_path / "project" / "synapse.lock"
    link.symlink_to("locks/synapse.lock")
    assert behind_link(link, tmp_path / "project") == tmp_path / "project" / "locks" / "synapse.lock"
    (tmp_path / "project" / "locks").rmdir()
    (tmp_path / "project" / "locks").symlink_to(tmp_path / "another")
    with pytest.raises(Conflict, match="outside the project"):
        behind_link(link, tmp_path / "project")


def test_link_loop_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(Conflict):
        behind_link(tmp_path / "a")


@pytest.mark.parametrize("name", ["receipt.json", ".bashrc", "nothing"])
def test_a_link_is_replaced_and_never_written_through(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "home" / name
    victim.parent.mkdir()
    if name != "nothing":
        victim.write_text("precious")
        victim.chmod(0o600)
    place = tmp_path / "receipt.json"
    place.symlink_to(victim)
    write_atomic(place, b"new")
    assert not place.is_symlink() and place.read_bytes() == b"new"
    assert place.stat().st_mode & 0o777 == 0o666 & ~umask(), "nor is its mode that of the file behind the link"
    assert victim.read_text() == "precious" if name != "nothing" else not victim.exists()


@pytest.mark.parametrize("kind", ["link", "dangling", "file"])
def test_a_directory_of_ours_is_a_directory(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "state"
    own_directory(place)
    own_directory(place)
    assert place.is_dir()
    place.rmdir()
    if kind == "file":
        place.write_text("")
    else:
        place.symlink_to(tmp_path / "elsewhere")
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
    with pytest.raises(Conflict, match="state"):
        own_directory(place)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no permission"),
        (errno.EPERM, "no permission"),
        (errno.EFBIG, "as large as this"),
        (errno.EIO, "the disk reports an error"),
        (errno.ENAMETOOLONG, "too long"),
    ],
)
def test_storage_error(number: int, words: str) -> None:
    error = storage_error(OSError(number, os.strerror(number), "models/a.bin"), "placing `a.bin`")
    assert error.message.startswith("placing `a.bin`: ")
    assert words in error.message
    assert error.message.endswith("(models/a.bin)")
    assert (error.hint is None) == (number == errno.ENAMETOOLONG)


def test_storage_error_without_a_number() -> None:
    assert storage_error(OSError("what"), "x").message == "x: what"
    assert storage_error(OSError(), "x").message == "x: OSError"


def test_rename_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for refuse in (False, True):
        if refuse:  # a file system without hard links

            def link(*_: object, **__: object) -> None:
                raise OSError(errno.EPERM, "Operation not permitted")

            monkeypatch.setattr(durable.os, "link", link)
        source, taken = tmp_path / "source", tmp_path / "taken"
        source.write_text("mine")
        taken.write_text("yours")
        with pytest.raises(FileExistsError):
            rename_new(source, taken)
        assert (source.read_text(), taken.read_text()) == ("mine", "yours")
        rename_new(source, tmp_path / "free")
        assert not source.exists()
        assert (tmp_path / "free").read_text() == "mine"
        (tmp_path / "free").unlink()


def test_make_dirs_syncs_each_new_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "fsync_dir", synced.append)
    make_dirs(tmp_path / "a" / "b")
    make_dirs(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


def test_fsync_dir_takes_file_systems_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> None:
        def fsync(_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(durable.os, "fsync", fsync)

    refuse(errno.EINVAL)
    fsync_dir(tmp_path)
    refuse(errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        fsync_dir(tmp_path)


@pytest.mark.parametrize("number", [*REFUSALS, errno.EBADF, errno.EIO, errno.ENOSPC])
def test_a_file_system_without_fsync_is_used_and_a_bad_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    if number in (errno.EIO, errno.ENOSPC):
        with pytest.raises(StorageError):
            write_atomic(tmp_path / "file", b"x")
        assert not (tmp_path / "file").exists()
    else:
        write_atomic(tmp_path / "file", b"x")
        assert (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("source", "mode", "copy"),
    [
        (0o644, 0o666, 0o666), (0o600, 0o666, 0o600), (0o640, 0o666, 0o660), (0o400, 0o444, 0o400),
        (0o444, 0o444, 0o444), (0o755, 0o444, 0o444), (0o604, 0o444, 0o404), (0o000, 0o666, 0o600),
    ],
)  # fmt: skip
def test_a_copy_is_for_those_who_may_read_the_source(tmp_path: Path, source: int, mode: int, copy: int) -> None:
    place = tmp_path / "source"
    place.touch()
    place.chmod(source)
    assert narrowed(mode, place.stat()) == narrowed(mode, place.stat(), place.stat()) == copy


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give a file to another group")
@pytest.mark.parametrize(("source", "copy"), [(0o640, 0o400), (0o644, 0o444)])
def test_another_group_reads_only_what_everybody_may(tmp_path: Path, source: int, copy: int) -> None:
    for name in ("source", "copy"):
        (tmp_path / name).touch()
    (tmp_path / "source").chmod(source)
    os.chown(tmp_path / "source", -1, 12345)
    assert narrowed(0o444, (tmp_path / "source").stat(), (tmp_path / "copy").stat()) == copy


def test_a_private_store_is_walked_to_a_blob_and_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "private_roots", set())
    before = os.umask(0o022)
    try:
        keep_private(tmp_path / "data" / "store")
        for name in ("data/store/blobs/sha256/ab", "data/store/meta/ab", "data/store-of-others", "elsewhere"):
            make_dirs(tmp_path / name, durable=name != "data/store/meta/ab")
        write_atomic(tmp_path / "data/store/digests.json", b"{}")
        write_atomic(tmp_path / "data/store/blobs/sha256/ab/note", b"{}")
    finally:
        os.umask(before)
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {
        "data": 0o755, "data/store-of-others": 0o755, "elsewhere": 0o755,
        "data/store": 0o711, "data/store/blobs": 0o711, "data/store/blobs/sha256": 0o711,
        "data/store/blobs/sha256/ab": 0o711, "data/store/meta": 0o700, "data/store/meta/ab": 0o700,
        "data/store/digests.json": 0o600, "data/store/blobs/sha256/ab/note": 0o644,
    }  # fmt: skip

"""Placing: each way, atomically, never over a stranger's file and never through a link."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest
from stand_ins import placing_by, refusing
from world import names_in

from synapse_sync.core.link_mode import BESIDE, WITHIN, LinkMode
from synapse_sync.core.names import SafePath
from synapse_sync.errors import Conflict, IntegrityError, StorageError
from synapse_sync.store import links
from synapse_sync.store.links import PREFIX, clone_file, place, sweep
from synapse_sync.store.reach import make_way

DATA = b"weights" * 1000
SHA = hashlib.sha256(DATA).hexdigest()
NAME = "models/loras/detail.safetensors"


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    return make_blob(tmp_path / "store")


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return make_way(tmp_path / "tree", SafePath(NAME), None)


def make_blob(root: Path, data: bytes = DATA) -> Path:
    sha256 = hashlib.sha256(data).hexdigest()
    path = root / "blobs" / "sha256" / sha256[:2] / sha256
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    path.chmod(0o444)
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def can_clone(blob: Path, directory: Path) -> bool:
    probe = directory / "probe"
    can = clone_file(blob, probe)
    probe.unlink(missing_ok=True)
    return can


# -- the ways ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_each_mode(blob: Path, destination: Path, mode: str, replace: bool) -> None:
    inode = blob.stat().st_ino
    if replace:
        destination.write_text("the version before")
    assert place(blob, destination, LinkMode(mode), replace=replace) == mode
    assert destination.read_bytes() == DATA
    assert names_in(destination.parent) == [destination.name]
    assert blob.exists() == (mode != "move")
    assert destination.is_symlink() == (mode == "symlink")
    assert (destination.stat().st_ino == inode) == (mode != "copy")
    if mode == "symlink":
        assert destination.readlink() == blob
    else:
        assert mode_of(destination) == (0o444 if mode == "hardlink" else 0o644)


@pytest.mark.parametrize("mode", LinkMode)
def test_no_file_stays_open(blob: Path, destination: Path, mode: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with contextlib.suppress(StorageError):  # where nothing can be cloned
        place(blob, destination, LinkMode(mode))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_auto_takes_the_cheapest_that_works(blob: Path, destination: Path) -> None:
    best = "clone" if can_clone(blob, destination.parent) else "hardlink"
    assert place(blob, destination, LinkMode.AUTO) == best
    assert destination.read_bytes() == DATA


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP])
@pytest.mark.parametrize(("without", "expected"), [(1, "hardlink"), (2, "symlink"), (3, "copy")])
def test_auto_falls_back(blob: Path, destination: Path, number: int, without: int, expected: str) -> None:
    with ExitStack() as stack:
        for way in ("clone", "hardlink", "symlink")[:without]:
            stack.enter_context(placing_by(way, refusing(number)))
        assert place(blob, destination, LinkMode.AUTO) == expected
    assert destination.read_bytes() == DATA


def test_auto_when_nothing_works(blob: Path, destination: Path) -> None:
    with ExitStack() as stack:
        for way in ("clone", "hardlink", "symlink", "copy"):
            stack.enter_context(placing_by(way, refusing(errno.ENOSPC)))
        with pytest.raises(StorageError, match=r"placing `detail\.safetensors`: the disk .* is full"):
            place(blob, destination, LinkMode.AUTO)
    assert names_in(destination.parent) == []


@pytest.mark.parametrize(
    ("mode", "hint"), [("clone", "shares blocks"), ("hardlink", "one file system"), ("symlink", "`copy`")]
)
def test_explicit_mode_that_is_not_possible(blob: Path, destination: Path, mode: str, hint: str) -> None:
    with (
        placing_by(mode, refusing(errno.EPERM)),
        pytest.raises(StorageError, match=f"by {mode}") as caught,
    ):
        place(blob, destination, LinkMode(mode))
    assert hint in (caught.value.hint or "")
    assert names_in(destination.parent) == []


def test_modes_are_all_known() -> None:
    assert set(LinkMode) == {LinkMode.AUTO, *links.WAYS}


def test_clone_where_the_file_system_can(blob: Path, destination: Path) -> None:
    if can_clone(blob, destination.parent):
        assert place(blob, destination, LinkMode.CLONE) == "clone"
        assert destination.stat().st_ino != blob.stat().st_ino
        assert mode_of(destination) == 0o644
    else:
        with pytest.raises(StorageError, match="by clone"):
            place(blob, destination, LinkMode.CLONE)
        assert names_in(destination.parent) == []


def test_clone_file_never_touches_an_existing_file(blob: Path, destination: Path) -> None:
    destination.write_text("mine")
    with pytest.raises(FileExistsError):
        clone_file(blob, destination)
    assert destination.read_text() == "mine"


def test_copies_obey_the_umask(blob: Path, destination: Path) -> None:
    old = os.umask(0o077)
    try:
        place(blob, destination, LinkMode.COPY)
    finally:
        os.umask(old)
    assert mode_of(destination) == 0o600


def test_copy_of_a_damaged_blob(blob: Path, destination: Path) -> None:
    blob.chmod(0o644)
    blob.write_bytes(DATA[:-1] + b"X")
    with pytest.raises(IntegrityError, match="no longer has the content of its name"):
        place(blob, destination, LinkMode.COPY)
    assert names_in(destination.parent) == []


@pytest.mark.parametrize("mode", ["auto", "symlink", "move"])
def test_missing_blob(blob: Path, destination: Path, mode: str) -> None:
    blob.unlink()
    with pytest.raises(StorageError, match="No such file"):
        place(blob, destination, LinkMode(mode))
    assert names_in(destination.parent) == []


def test_missing_directory_is_made(blob: Path, tmp_path: Path) -> None:
    assert place(blob, tmp_path / "a" / "b" / "model", LinkMode.HARDLINK) == "hardlink"


def test_relative_blob_gives_an_absolute_link(blob: Path, destination: Path) -> None:
    with contextlib.chdir(blob.parent):
        place(Path(blob.name), destination, LinkMode.SYMLINK)
    assert destination.readlink() == blob


# -- nothing is overwritten ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "hardlink", "symlink", "copy", "move"])
@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_what_is_there_is_kept(blob: Path, destination: Path, tmp_path: Path, mode: str, kind: str) -> None:
    if kind == "file":
        destination.write_text("mine")
    elif kind == "link":
        destination.symlink_to(tmp_path / "nowhere")
    else:
        destination.mkdir()
    before = destination.lstat()
    with pytest.raises(Conflict, match="left as it is"):
        place(blob, destination, LinkMode(mode))
    after = destination.lstat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert names_in(destination.parent) == [destination.name]
    assert blob.read_bytes() == DATA
    assert mode_of(blob) == 0o444  # also after a `move` that did not happen


@pytest.mark.parametrize("mode", ["auto", "hardlink", "symlink", "copy", "move"])
def test_directory_is_not_replaced(blob: Path, destination: Path, mode: str) -> None:
    destination.mkdir()
    (destination / "precious").touch()
    with pytest.raises(Conflict, match="is a directory"):
        place(blob, destination, LinkMode(mode), replace=True)
    assert names_in(destination) == ["precious"]
    assert names_in(destination.parent) == [destination.name]


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_replacing_a_link_leaves_its_target(blob: Path, destination: Path, tmp_path: Path, mode: str) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    destination.symlink_to(other)
    place(blob, destination, LinkMode(mode), replace=True)
    assert other.read_text() == "mine"
    assert destination.read_bytes() == DATA


@pytest.mark.parametrize("mode", ["hardlink", "move"])
def test_replacing_a_name_of_the_same_file(blob: Path, destination: Path, mode: str) -> None:
    place(blob, destination, LinkMode.HARDLINK)
    assert place(blob, destination, LinkMode(mode), replace=True) == mode
    assert destination.read_bytes() == DATA
    assert names_in(destination.parent) == [destination.name]


def test_replaced_file_stays_for_its_readers(blob: Path, destination: Path) -> None:
    destination.write_text("the version before")
    with destination.open() as reader:
        place(blob, destination, LinkMode.COPY, replace=True)
        assert reader.read() == "the version before"


def test_no_hard_links_in_the_target(blob: Path, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    assert place(blob, destination, LinkMode.COPY) == "copy"
    with pytest.raises(Conflict):
        place(blob, destination, LinkMode.COPY)
    assert names_in(destination.parent) == [destination.name]


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_interrupt_leaves_nothing_half_done(blob: Path, destination: Path, mode: str) -> None:
    real = links.WAYS[mode]

    def way(blob: Path, temporary: Path) -> None:
        real(blob, temporary)
        raise KeyboardInterrupt

    with placing_by(mode, way), pytest.raises(KeyboardInterrupt):
        place(blob, destination, LinkMode(mode))
    # A link is there or not, and whole if it is: the next sync adopts it.
    assert names_in(destination.parent) in ([], [destination.name] if mode in ("hardlink", "symlink") else [])
    assert not destination.exists() or destination.read_bytes() == blob.read_bytes()
    assert blob.read_bytes() == DATA
    assert mode_of(blob) == 0o444


# -- move --------------------------------------------------------------------------------------------


def test_move_of_a_blob_that_another_tree_uses(blob: Path, destination: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-tree"
    os.link(blob, other)
    place(blob, destination, LinkMode.MOVE)
    assert not blob.exists()
    assert mode_of(other) == 0o444
    assert other.stat().st_ino != destination.stat().st_ino  # editing one must not edit the other
    assert mode_of(destination) == 0o644


def test_across_file_systems(tmp_path: Path, elsewhere: Path) -> None:
    blob = make_blob(tmp_path / "store")
    assert place(blob, elsewhere / "a", LinkMode.AUTO) == "symlink"
    assert place(blob, elsewhere / "b", LinkMode.COPY) == "copy"
    with pytest.raises(StorageError, match="by hardlink") as caught:
        place(blob, elsewhere / "c", LinkMode.HARDLINK)
    assert "one file system" in (caught.value.hint or "")
    assert place(blob, elsewhere / "d", LinkMode.MOVE) == "move"
    assert not blob.exists()
    assert (elsewhere / "b").read_bytes() == (elsewhere / "d").read_bytes() == DATA
    assert mode_of(elsewhere / "d") == 0o644
    assert names_in(elsewhere) == ["a", "b", "d"]


def test_damaged_blob_is_not_moved_across(tmp_path: Path, elsewhere: Path) -> None:
    blob = make_blob(tmp_path / "store")
    blob.chmod(0o644)
    blob.write_bytes(b"rot")
    with pytest.raises(IntegrityError):
        place(blob, elsewhere / "d", LinkMode.MOVE)
    assert blob.exists()
    assert names_in(elsewhere) == []


# -- sweep ---------------------------------------------------------------------------------------------


def test_sweep_takes_only_our_old_names(tmp_path: Path) -> None:
    mine = tmp_path / f"{PREFIX}123-0123456789ab"
    strangers = [tmp_path / f"{PREFIX}notes.txt", tmp_path / "model.part"]
    for path in (mine, *strangers):
        path.touch()
    link = tmp_path / f"{PREFIX}124-0123456789ab"
    link.symlink_to(strangers[0])
    directory = tmp_path / f"{PREFIX}125-0123456789ab"
    directory.mkdir()
    now = mine.stat().st_ctime
    assert sweep(tmp_path, now=now + 60) == 0
    assert sweep(tmp_path, now=now + 7200) == 2
    assert names_in(tmp_path) == sorted(path.name for path in (*strangers, directory))


def test_sweep_of_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "absent") == 0


def test_placing_sweeps_its_directory(blob: Path, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (destination.parent / f"{PREFIX}123-0123456789ab").touch()
    monkeypatch.setattr(links, "STALE", -60.0)
    place(blob, destination, LinkMode.HARDLINK)
    assert names_in(destination.parent) == [destination.name]


def test_cloning_is_not_tried_again_where_it_was_refused(
    blob: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def refuse(source: Path, copy: Path) -> None:
        tried.append(copy)
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(links, "without_clones", set())
    with placing_by("clone", refuse):
        assert place(blob, destination, LinkMode.AUTO) == "hardlink"
        assert place(blob, destination.with_name("other"), LinkMode.AUTO) == "hardlink"
        assert len(tried) == 1
        with pytest.raises(StorageError):
            place(blob, destination.with_name("third"), LinkMode.CLONE)
        assert len(tried) == 2, "who asks for clones is told that there are none"
        links.without_clones.clear()
        links.without_clones.add((-1, -1))
        place(blob, destination.with_name("fourth"), LinkMode.AUTO)
        assert len(tried) == 3, "between other file systems it may be possible"


@pytest.mark.parametrize("can", [True, False])
def test_a_link_within_a_target_or_a_copy_where_none_can_be(
    tmp_path: Path, can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "blobs" / SHA, tmp_path / "snapshots" / "c" / "f"
    there.parent.mkdir()
    there.write_bytes(DATA)
    if not can:

        def refuse(link: str, path: Path) -> None:
            raise OSError(errno.EPERM, "not permitted")

        monkeypatch.setattr(links, "link_to", refuse)
    for again in (False, True):
        assert links.point(here, f"../../blobs/{SHA}", there, replace=again) == (WITHIN if can else BESIDE)
        assert here.read_bytes() == DATA and here.is_symlink() is can
        assert names_in(here.parent) == ["f"]
    with pytest.raises(Conflict):
        links.point(here, f"../../blobs/{SHA}", there)


def test_whether_links_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert links.can_link(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == [], "nothing is tried there"
    monkeypatch.setattr(os, "pathconf", lambda path, name: 0)
    assert not links.can_link(tmp_path)
    assert links._links_for_account()

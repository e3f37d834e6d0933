"""Modes and times on the disk."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_sync.core.look import Look
from synapse_sync.store.looks import (
    give_link_time,
    give_look,
    is_shared,
    look_of_blob,
    make_tree_dirs,
    opens_to_group,
    settle_folder_modes,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
LOOK = Look(0o644, 1_000_000_000_000_000_100)


@pytest.fixture(params=[0o000, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_gets_its_look_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "x"
    path.touch()
    give_look(path, LOOK)
    assert (mode_of(path), path.stat().st_mtime_ns) == (0o644, LOOK.mtime_ns)


def test_a_file_system_with_whole_seconds_keeps_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fraction alone tells two files of one size apart, so that a time without it would hide a swap."""
    path = tmp_path / "x"
    path.touch()
    before, real = path.stat().st_mtime_ns, os.utime

    def coarse(path: Path, *, ns: tuple[int, int]) -> None:
        kept = ns[1] if ns[1] == before else ns[1] // 10**9 * 10**9
        real(path, ns=(ns[0], kept))

    monkeypatch.setattr(os, "utime", coarse)
    give_look(path, LOOK)
    assert path.stat().st_mtime_ns == before


def test_nobody_reads_what_they_could_not_read_before(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.touch(0o400)
    blob.chmod(0o400)
    assert look_of_blob(LOOK, blob, lambda: False).mode == 0o600
    assert look_of_blob(LOOK, blob, lambda: True).mode == 0o644, "it was downloaded under a narrow umask"
    blob.chmod(0o444)
    assert look_of_blob(LOOK, blob, lambda: False).mode == 0o644


def test_directories_of_a_tree(tmp_path: Path, umask: int) -> None:
    make_tree_dirs(tmp_path / "a" / "b")
    assert (mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")) == (0o755, 0o755)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    make_tree_dirs(shared / "a")
    assert is_shared(shared) and mode_of(shared / "a") & 0o777 == 0o777 & ~umask


def test_the_time_of_a_link_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    (tmp_path / "link").symlink_to("x")
    before = (tmp_path / "x").stat().st_mtime_ns
    give_link_time(tmp_path / "link", LOOK.mtime_ns)
    assert (tmp_path / "link").lstat().st_mtime_ns == LOOK.mtime_ns
    assert (tmp_path / "x").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("mask", "opens"), [(0o002, True), (0o007, True), (0o022, False), (0o027, False), (0o077, False), (0, False)]
)
def test_a_umask_that_opens_to_a_group_decides_the_modes(tmp_path: Path, mask: int, opens: bool) -> None:
    before = os.umask(mask)
    try:
        assert opens_to_group() is opens
        make_tree_dirs(tmp_path / "a")
        assert mode_of(tmp_path / "a") == (0o777 & ~mask if opens else 0o755)
        settle_folder_modes(tmp_path, ["a"])
        assert mode_of(tmp_path / "a") == 0o755
    finally:
        os.umask(before)

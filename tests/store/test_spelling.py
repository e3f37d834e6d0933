"""Two spellings of one path, on a file system that ignores case and on one that does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem
from world import names_in, opened

from synapse_sync.store.spelling import is_spelled, one_file, respell, respell_path

ROOT = Path("/disk/ui")


@pytest.fixture(params=[False, True], ids=["ignores case", "tells case apart"])
def tells(request: pytest.FixtureRequest, fs: FakeFilesystem) -> bool:
    """Whether the file system tells case apart."""
    fs.is_case_sensitive = request.param
    ROOT.mkdir(parents=True)
    return bool(request.param)


def make(path: str) -> Path:
    place = ROOT / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(path.encode())
    return place


@pytest.mark.parametrize(
    ("one", "other"),
    [("m/Dream.bin", "m/dream.bin"), ("m/Sub/d.bin", "m/sub/d.bin"), ("M/Sub/D.bin", "m/sub/d.bin")],
)
def test_one_file_where_case_is_ignored(tells: bool, one: str, other: str) -> None:
    make(one)
    assert one_file(ROOT, one, one)
    assert one_file(ROOT, one, other) is (not tells)
    assert is_spelled(ROOT, one) and is_spelled(ROOT, other) is False


def test_two_files_are_two_also_as_names_of_one(tmp_path: Path) -> None:
    """Hard links of one blob on a file system that tells case apart."""
    (tmp_path / "Dream.bin").write_bytes(b"x")
    if (tmp_path / "dream.bin").exists():
        pytest.skip("this file system ignores case")
    os.link(tmp_path / "Dream.bin", tmp_path / "dream.bin")
    assert not one_file(tmp_path, "Dream.bin", "dream.bin")


def test_other_names_and_absent_files_are_not_one(tells: bool) -> None:
    make("m/Dream.bin")
    assert not one_file(ROOT, "m/Dream.bin", "m/dreams.bin")
    assert not one_file(ROOT, "m/Gone.bin", "m/gone.bin")
    assert not one_file(ROOT, "m/Gone.bin", "m/Gone.bin")
    assert not one_file(ROOT, "n/Dream.bin", "N/dream.bin")


def test_a_unicode_form_is_a_spelling(tmp_path: Path) -> None:
    """HFS+ and ZFS list the decomposed form of a name that was written in the composed one."""
    (tmp_path / "e\u0301.bin").write_bytes(b"x")
    assert is_spelled(tmp_path, "\u00e9.bin"), "the file system's own form is no other spelling"
    assert not respell(tmp_path / "\u00e9.bin")


def test_a_file_is_respelled(tells: bool) -> None:
    make("m/Dream.bin")
    if tells:
        return
    assert respell(ROOT / "m/dream.bin")
    assert names_in(ROOT / "m") == ["dream.bin"]
    assert (ROOT / "m/dream.bin").read_bytes() == b"m/Dream.bin"
    assert not respell(ROOT / "m/dream.bin")


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_where_a_rename_by_case_does_nothing_a_third_name_helps(
    fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Linux does so on exFAT, vfat and CIFS: both names are one file to it."""
    fs.is_case_sensitive = False
    make("m/Dream.bin" if kind == "file" else "m/Dream.bin/inside")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        return target if str(self).casefold() == str(target).casefold() else real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    assert respell(ROOT / "m/dream.bin")
    assert names_in(ROOT / "m") == ["dream.bin"]


def test_a_directory_is_respelled_if_all_in_it_is_listed(fs: FakeFilesystem) -> None:
    fs.is_case_sensitive = False
    make("Models/Sub/Deep/d.bin")
    make("Models/Sub/other.bin")
    listed = ["Models/Sub/Deep/d.bin"]
    respell_path(ROOT, "models/sub/deep/d.bin", listed=listed, keep=["models"])
    assert names_in(ROOT) == ["Models"], "one of the UI's own"
    assert names_in(ROOT / "models") == ["Sub"], "somebody else's file is in it"
    assert names_in(ROOT / "models/sub") == ["deep", "other.bin"]


def test_a_directory_is_not_listed_for_each_file_where_case_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "Dream.bin").write_bytes(b"x")
    if (tmp_path / "dream.bin").exists():
        pytest.skip("this file system ignores case")
    with opened("os.listdir") as listed:
        assert is_spelled(tmp_path, "Dream.bin")
    assert not listed
    (tmp_path / "dREAM.BIN").write_bytes(b"y")  # now only the listing can tell
    with opened("os.listdir") as listed:
        assert is_spelled(tmp_path, "Dream.bin")
    assert listed and not is_spelled(tmp_path, "Gone.bin")

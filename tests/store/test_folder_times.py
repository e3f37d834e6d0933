"""The times of directories in a tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synapse_sync.core.look import Looks
from synapse_sync.store.folder_times import settle_folders
from synapse_sync.store.receipt import ReceiptEntry, note

NOW = 1_500_000_000


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, ReceiptEntry]:
    """Two files of synapse's own in two directories, whose times say when that was."""
    entries = {}
    for path, model in (("models/a/x.bin", "new"), ("models/b/y.bin", "old")):
        place = tmp_path / path
        place.parent.mkdir(parents=True)
        place.write_bytes(b"bytes")
        look = Looks(published={"new": "2020-06-01", "old": "2010-06-01"}).of_file(model, "a" * 64)
        os.utime(place, ns=(0, look.mtime_ns))
        entries[path] = note(place, path=path, sha256="a" * 64, how="copy", model=model)
    for folder in ("models/a", "models/b", "models", "."):
        os.utime(tmp_path / folder, (NOW, NOW))
    return entries


def years(root: Path) -> list[int]:
    seconds = [int((root / folder).stat().st_mtime) for folder in ("models/a", "models/b", "models", ".")]
    return [1970 + second // 31_556_952 for second in seconds]


def test_a_directory_is_as_old_as_its_latest_file(tmp_path: Path, tree: dict[str, ReceiptEntry]) -> None:
    assert settle_folders({tmp_path: ["models/a", "models/b"]}, [(tmp_path, tree)]) == []
    assert years(tmp_path) == [2020, 2010, 2020, 2020]


def test_only_what_a_run_changed_is_settled(tmp_path: Path, tree: dict[str, ReceiptEntry]) -> None:
    settle_folders({tmp_path: ["models/b"]}, [(tmp_path, tree)])
    assert years(tmp_path) == [2017, 2010, 2020, 2020]


def test_something_of_others_keeps_the_time_of_its_directory(tmp_path: Path, tree: dict[str, ReceiptEntry]) -> None:
    (tmp_path / "models/a/mine.txt").touch()
    os.utime(tmp_path / "models/a", (NOW, NOW))
    settle_folders({tmp_path: ["models/a"]}, [(tmp_path, tree)])
    assert years(tmp_path)[0] == 2017


def test_a_link_to_the_store_keeps_all_times_above_it(tmp_path: Path, tree: dict[str, ReceiptEntry]) -> None:
    place = tmp_path / "models/b/y.bin"
    tree["models/b/y.bin"] = note(place, path="models/b/y.bin", sha256="a" * 64, how="hardlink", model="old")
    settle_folders({tmp_path: ["models/a", "models/b"]}, [(tmp_path, tree)])
    assert years(tmp_path) == [2020, 2017, 2017, 2017]


def test_targets_that_share_a_root_know_of_each_other(tmp_path: Path, tree: dict[str, ReceiptEntry]) -> None:
    one, other = ({path: entry} for path, entry in tree.items())
    settle_folders({tmp_path: ["models/a"]}, [(tmp_path, one), (tmp_path, other)])
    assert years(tmp_path) == [2020, 2017, 2020, 2020]


def test_a_directory_that_is_gone_is_passed_over(tmp_path: Path, tree: dict[str, ReceiptEntry]) -> None:
    assert settle_folders({tmp_path: ["gone/deeper"], tmp_path / "no": [""]}, [(tmp_path, tree)]) == []

"""The index of a receipt says what the receipt says, or nothing."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.store import receipt, receipt_index
from synapse_sync.store.receipt import Receipt, note, receipt_path, write
from synapse_sync.store.receipt_index import count_by_index, count_by_indexes, index_bytes, index_path

KEY = "p-ui"


@pytest.fixture(autouse=True, params=[True, False], ids=["open folders", "whole paths"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to a file; on Windows there is only the second."""
    if request.param and not receipt_index.FOLDERS_OPEN:
        pytest.skip("no open folders here")
    monkeypatch.setattr(receipt_index, "FOLDERS_OPEN", request.param)


def make(root: Path, *names: str, link: bool = False) -> Path:
    """Place files and write a complete receipt of them; returns the path of its index."""
    entries = {}
    for name in names:
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if link:
            (root / f"blob {place.name}").write_bytes(b"content")
            place.symlink_to(root / f"blob {place.name}")
        else:
            place.write_bytes(name.encode())
        entries[name] = note(place, path=name, sha256="a" * 64, how="copy", model="m")
    write(root, Receipt(project=KEY, target="ui", entries=entries, complete="f00d"))
    return Path(index_path(str(receipt_path(root, KEY))))


def count(root: Path, complete: str = "f00d") -> int | None:
    return count_by_index(str(receipt_path(root, KEY)), complete, str(root))


@pytest.mark.parametrize("link", [False, True])
def test_it_sees_what_is_there(tmp_path: Path, link: bool) -> None:
    make(tmp_path, "a", "d/ü b", "d/c", link=link)
    assert count(tmp_path) == 3
    assert count(tmp_path, "beef") is None
    os.utime(tmp_path / "d" / "c", ns=(1, 1))
    assert count(tmp_path) is None


@pytest.mark.parametrize("change", ["gone", "link", "directory", "other", "longer"])
def test_it_sees_every_change(tmp_path: Path, change: str) -> None:
    make(tmp_path, "a")
    place = tmp_path / "a"
    noted = place.stat()
    if change == "longer":
        place.write_bytes(b"longer")
        os.utime(place, ns=(noted.st_mtime_ns, noted.st_mtime_ns))
    else:
        place.rename(tmp_path / "kept")
    if change == "link":
        place.symlink_to("kept")
    elif change == "directory":
        place.mkdir()
    elif change == "other":
        place.write_bytes(b"a")
        os.utime(place, ns=(noted.st_mtime_ns, noted.st_mtime_ns))
    assert count(tmp_path) is None


def test_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    make(tmp_path, "a", link=True)
    (tmp_path / "a").unlink()
    (tmp_path / "blob a").rename(tmp_path / "blob b")
    (tmp_path / "a").symlink_to(tmp_path / "blob b")
    assert count(tmp_path) is None


def test_a_receipt_that_was_written_anew_is_another_one(tmp_path: Path) -> None:
    index = make(tmp_path, "a")
    path = receipt_path(tmp_path, KEY)
    text = path.read_bytes()
    path.rename(tmp_path / "old")
    path.write_bytes(text)
    assert count(tmp_path) is None
    assert receipt.count_by_receipts(str(tmp_path), "p", "f00d") == 1, "the receipt itself is asked then"
    assert index.exists()


def test_an_unfinished_receipt_has_none(tmp_path: Path) -> None:
    make(tmp_path, "a")
    known = receipt.read(tmp_path, KEY)
    assert known is not None
    write(tmp_path, Receipt(project=KEY, target="ui", entries=known.entries, complete=None))
    assert count(tmp_path) is None


def test_it_goes_with_its_receipt(tmp_path: Path) -> None:
    index = make(tmp_path, "a")
    receipt.discard(tmp_path, KEY)
    assert not index.exists()


def test_no_files_at_all(tmp_path: Path) -> None:
    make(tmp_path)
    assert count(tmp_path) == 0


def test_inodes_of_64_bits(tmp_path: Path) -> None:
    make(tmp_path, "a")
    path = receipt_path(tmp_path, KEY)
    known = receipt.read(tmp_path, KEY)
    assert known is not None
    data = json.loads(path.read_bytes())["entries"][0] | {"inode": (1 << 64) - 2}
    assert index_bytes(str(path), "f00d", [receipt.ReceiptEntry(**data)])


@given(st.data())
def test_damage_never_says_more_than_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("index")
    index = make(root, "a", "b")
    os.utime(root / "b", ns=(5, 5))
    whole = index.read_bytes()
    # As parts of the whole: its length is that of the inodes in it, which differ from one example to the next.
    start, end = (int(part * len(whole)) for part in sorted(data.draw(st.tuples(*[st.floats(0, 1)] * 2))))
    index.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:])
    assert count(root) in (None, 0, 1), "two would be a lie: one of them changed"


def test_what_does_not_fit_is_not_noted(tmp_path: Path) -> None:
    """ReFS has inodes of 128 bits; the receipt itself is asked then."""
    index = make(tmp_path, "a")
    known = receipt.read(tmp_path, KEY)
    assert known is not None
    wide = {"a": replace(known.entries["a"], inode=1 << 100)}
    index.unlink()
    write(tmp_path, Receipt(project=KEY, target="ui", entries=wide, complete="f00d"))
    assert not index.exists()
    assert receipt.read(tmp_path, KEY).entries == wide


def test_all_receipts_of_a_project(tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    assert count_by_indexes(str(tmp_path), "p", "f00d") == 2
    assert count_by_indexes(str(tmp_path), "q", "f00d") is None
    assert count_by_indexes(str(tmp_path / "none"), "p", "f00d") is None
    (tmp_path / ".synapse" / "receipt-p-other.json").write_text("{}")
    assert count_by_indexes(str(tmp_path), "p", "f00d") is None

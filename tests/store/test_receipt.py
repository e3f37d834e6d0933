"""Receipts: what is written comes back, damage is named, and stats tell what changed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.errors import Conflict, InputError, StorageError
from synapse_sync.store import receipt
from synapse_sync.store.receipt import (
    Receipt,
    ReceiptEntry,
    count_by_receipts,
    discard,
    matches,
    note,
    others,
    read,
    write,
)

KEY = "0123456789abcdef-comfy"
PROJECT = "0123456789abcdef"
SHA = "ab" * 32


def entry(path: str = "models/a.bin", **changes: Any) -> ReceiptEntry:
    made = ReceiptEntry(path=path, sha256=SHA, size=3, how="copy", mtime_ns=5, inode=7, model="a")
    return replace(made, **changes)


def make(root: Path, *paths: str, key: str = KEY, complete: str | None = None, how: str = "copy") -> Receipt:
    """Files and a receipt of them."""
    entries = {}
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if how == "symlink":
            blob = root.parent / f"blob-{place.name}"
            blob.write_text("abc")
            place.symlink_to(blob)
        else:
            place.write_text("abc")
        entries[path] = note(place, path=path, sha256=SHA, how=how, model="a")
    made = Receipt(project=key, target="comfy", entries=entries, complete=complete)
    write(root, made)
    return made


def raw(root: Path, key: str = KEY) -> Path:
    return root / ".synapse" / f"receipt-{key}.json"


# -- reading and writing -------------------------------------------------------------------------------


def test_round_trip(tmp_path: Path) -> None:
    entries = {
        "models/é/模型.bin": entry("models/é/模型.bin", link="/store/\udcff/blob", how="symlink"),
        "a.bin": entry("a.bin"),
    }
    made = Receipt(project=KEY, target="comfy", entries=entries, complete="f00d")
    write(tmp_path, made)
    assert read(tmp_path, KEY) == made
    assert [value["path"] for value in json.loads(raw(tmp_path).read_bytes())["entries"]] == sorted(entries)
    assert (tmp_path / ".synapse" / ".gitignore").read_text() == "*\n"


def test_a_discarded_receipt_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, Receipt(project=KEY, target="t", entries={"a": entry("a")}, complete="f00d"))
    write(tmp_path, Receipt(project="another", target="t", entries={"a": entry("a")}))
    discard(tmp_path, KEY)
    discard(tmp_path, KEY)
    assert read(tmp_path, KEY) is None and read(tmp_path, "another") is not None
    assert sorted(path.name for path in (tmp_path / ".synapse").glob("*-*")) == ["receipt-another.json"]


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path, Receipt(project=KEY, target="t", entries={"b": entry("b"), "a": entry("a")}))
    before = raw(tmp_path).read_bytes()
    write(tmp_path, Receipt(project=KEY, target="t", entries={"a": entry("a"), "b": entry("b")}))
    assert raw(tmp_path).read_bytes() == before


def test_gitignore_of_the_user_stays(tmp_path: Path) -> None:
    (tmp_path / ".synapse").mkdir()
    (tmp_path / ".synapse" / ".gitignore").write_text("mine\n")
    write(tmp_path, Receipt(project=KEY, target="t"))
    assert (tmp_path / ".synapse" / ".gitignore").read_text() == "mine\n"


@pytest.mark.parametrize("absent", ["nothing", "root", "file"])
def test_no_receipt(tmp_path: Path, absent: str) -> None:
    if absent == "file":
        (tmp_path / "root").touch()
    elif absent == "nothing":
        (tmp_path / "root").mkdir()
    assert read(tmp_path / "root", KEY) is None
    assert others(tmp_path / "root", KEY) == []
    assert count_by_receipts(str(tmp_path / "root"), PROJECT, "x") is None


def test_linked_state_directory_is_refused(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / ".synapse").symlink_to(outside)
    with pytest.raises(Conflict, match="symbolic link"):
        write(root, Receipt(project=KEY, target="t"))
    assert list(outside.iterdir()) == []


def test_unwritable_root(tmp_path: Path) -> None:
    (tmp_path / "root").touch()
    with pytest.raises(StorageError, match="making"):
        write(tmp_path / "root", Receipt(project=KEY, target="t"))


def test_unreadable_receipt(tmp_path: Path) -> None:
    raw(tmp_path).mkdir(parents=True)
    with pytest.raises(InputError, match="it is a directory; nothing was removed"):
        read(tmp_path, KEY)


def valid() -> dict[str, Any]:
    return {
        "path": "a.bin", "sha256": SHA, "size": 1, "how": "copy", "mtime_ns": 1, "inode": 1, "model": "a",
        "link": None,
    }  # fmt: skip


DAMAGED = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[" * 100_000,
    b"[]",
    b"null",
    b"{}",
    b'{"version": 1}',
    b'{"version": 1, "entries": {}}',
    b'{"version": 0, "entries": []}',
    b'{"version": "2", "entries": []}',
    *(
        json.dumps({"version": 1, "entries": [value]}).encode()
        for value in (
            1,
            None,
            "a.bin",
            {},
            {**valid(), "path": "../../.bashrc"},
            {**valid(), "path": "/etc/passwd"},
            {**valid(), "path": "a/../b"},
            {**valid(), "path": ".git/config"},
            {**valid(), "path": ""},
            {**valid(), "path": 5},
            {**valid(), "sha256": "short"},
            {**valid(), "sha256": None},
            {**valid(), "size": "1"},
            {**valid(), "size": True},
            {**valid(), "mtime_ns": 1.5},
            {**valid(), "model": None},
            {**valid(), "link": 5},
            {**valid(), "surprise": 1},
        )
    ),
]


@pytest.mark.parametrize("data", DAMAGED)
def test_damaged_receipt(tmp_path: Path, data: bytes) -> None:
    raw(tmp_path).parent.mkdir()
    raw(tmp_path).write_bytes(data)
    for ask in (
        lambda: read(tmp_path, KEY),
        lambda: others(tmp_path, "another"),
        lambda: receipt.all_digests(tmp_path),
    ):
        with pytest.raises(InputError, match="nothing was removed") as caught:
            ask()
        assert str(raw(tmp_path)) in caught.value.message
        assert caught.value.hint
    assert count_by_receipts(str(tmp_path), PROJECT, "x") is None
    assert raw(tmp_path).read_bytes() == data


def test_the_valid_entry_of_these_tests_is_valid(tmp_path: Path) -> None:
    raw(tmp_path).parent.mkdir()
    raw(tmp_path).write_text(json.dumps({"version": 1, "entries": [valid()]}))
    found = read(tmp_path, KEY)
    assert found is not None
    assert list(found.entries) == ["a.bin"]


@pytest.mark.parametrize("more", [{"entries": [valid(), valid()]}, {"entries": [], "complete": 5}])
def test_edited_receipt(tmp_path: Path, more: dict[str, Any]) -> None:
    raw(tmp_path).parent.mkdir()
    raw(tmp_path).write_text(json.dumps({"version": 1, **more}))
    with pytest.raises(InputError, match="damaged or edited"):
        read(tmp_path, KEY)


def test_newer_receipt(tmp_path: Path) -> None:
    raw(tmp_path).parent.mkdir()
    raw(tmp_path).write_text('{"version": 2, "files": {}}')
    with pytest.raises(InputError, match=r"newer synapse \(format 2\); nothing was removed"):
        read(tmp_path, KEY)


def test_others(tmp_path: Path) -> None:
    make(tmp_path, "a", "shared")
    make(tmp_path, "b", "shared", key="other-comfy")
    make(tmp_path, "c", key=f"{PROJECT}-forge")
    assert {(key, entry.path) for key, entry in others(tmp_path, KEY)} == {
        ("other-comfy", "b"), ("other-comfy", "shared"), (f"{PROJECT}-forge", "c"),
    }  # fmt: skip
    assert receipt.all_digests(tmp_path) == {SHA}


# -- comparing with the disk ---------------------------------------------------------------------------


def test_matches_a_file(tmp_path: Path) -> None:
    place = tmp_path / "a.bin"
    noted = make(tmp_path, "a.bin").entries["a.bin"]
    assert matches(str(place), noted) == "same"
    os.utime(place, ns=(1, 1))
    assert matches(str(place), noted) == "changed"
    os.utime(place, ns=(1, noted.mtime_ns))
    assert matches(str(place), noted) == "same"
    with place.open("a") as file:
        file.write("d")
    os.utime(place, ns=(1, noted.mtime_ns))
    assert matches(str(place), noted) == "changed"  # by size


def test_matches_notices_another_file(tmp_path: Path) -> None:
    noted = make(tmp_path, "a.bin").entries["a.bin"]
    place, other = tmp_path / "a.bin", tmp_path / "other"
    other.write_text("xyz")
    os.utime(other, ns=(1, noted.mtime_ns))
    other.replace(place)
    assert matches(str(place), noted) == "changed"  # same size and time, another inode


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "dangling", "loop"])
def test_matches_what_took_its_place(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "a.bin"
    noted = make(tmp_path, "a.bin").entries["a.bin"]
    place.rename(tmp_path / "kept")
    if kind == "directory":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to({"link": "kept", "dangling": "nowhere", "loop": "a.bin"}[kind])
    assert matches(str(place), noted) == "changed"


def test_missing(tmp_path: Path) -> None:
    noted = make(tmp_path, "d/a.bin").entries["d/a.bin"]
    place = tmp_path / "d" / "a.bin"
    place.unlink()
    assert matches(str(place), noted) == "missing"
    place.parent.rmdir()
    assert matches(str(place), noted) == "missing"
    place.parent.touch()  # a file where its directory was
    assert matches(str(place), noted) == "missing"


def test_matches_a_link(tmp_path: Path) -> None:
    root = tmp_path / "root"
    noted = make(root, "a.bin", how="symlink").entries["a.bin"]
    place, blob = root / "a.bin", tmp_path / "blob-a.bin"
    assert noted.link == str(blob)
    assert (noted.size, noted.inode) == (3, blob.stat().st_ino)
    assert matches(str(place), noted) == "same"
    os.utime(blob, ns=(1, 1))  # somebody wrote through the link
    assert matches(str(place), noted) == "changed"
    blob.unlink()
    assert matches(str(place), noted) == "changed"  # dangling: the name is still taken
    place.unlink()
    assert matches(str(place), noted) == "missing"
    place.symlink_to(tmp_path / "elsewhere")
    assert matches(str(place), noted) == "changed"
    place.unlink()
    place.write_text("abc")
    assert matches(str(place), noted) == "changed"


def test_link_that_became_a_loop(tmp_path: Path) -> None:
    root = tmp_path / "root"
    noted = make(root, "a.bin", how="symlink").entries["a.bin"]
    blob = tmp_path / "blob-a.bin"
    blob.unlink()
    blob.symlink_to(root / "a.bin")
    assert matches(str(root / "a.bin"), noted) == "changed"


# -- the quick way -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["copy", "symlink"])
def test_count_by_receipts(tmp_path: Path, how: str) -> None:
    root = tmp_path / "root"
    make(root, "a", "d/b", complete="f00d", how=how)
    make(root, "c", key=f"{PROJECT}-forge", complete="f00d", how=how)
    make(root, "z", key="stranger-comfy", complete="else", how=how)
    assert count_by_receipts(str(root), PROJECT, "f00d") == 3
    assert count_by_receipts(str(root), PROJECT, "beef") is None
    (root / "z").unlink()  # not ours
    assert count_by_receipts(str(root), PROJECT, "f00d") == 3
    os.utime(root / "d" / "b", ns=(1, 1))
    assert count_by_receipts(str(root), PROJECT, "f00d") is None


def test_count_by_receipts_of_an_unfinished_target(tmp_path: Path) -> None:
    make(tmp_path, "a", complete="f00d")
    make(tmp_path, "b", key=f"{PROJECT}-forge", complete=None)
    assert count_by_receipts(str(tmp_path), PROJECT, "f00d") is None


@pytest.mark.parametrize("change", ["gone", "link", "directory"])
def test_count_by_receipts_sees_what_took_the_place(tmp_path: Path, change: str) -> None:
    make(tmp_path, "a", complete="f00d")
    (tmp_path / "a").rename(tmp_path / "kept")
    if change == "link":
        (tmp_path / "a").symlink_to("kept")
    elif change == "directory":
        (tmp_path / "a").mkdir()
    assert count_by_receipts(str(tmp_path), PROJECT, "f00d") is None


def test_empty_receipt_is_complete_too(tmp_path: Path) -> None:
    make(tmp_path, complete="f00d")
    assert count_by_receipts(str(tmp_path), PROJECT, "f00d") == 0


def test_ten_thousand_entries(tmp_path: Path) -> None:
    paths = [f"models/checkpoints/family-{n % 7}/model-{n}.safetensors" for n in range(10_000)]
    entries = {path: entry(path) for path in paths}
    write(tmp_path, Receipt(project=KEY, target="t", entries=entries, complete="f00d"))
    found = read(tmp_path, KEY)
    assert found is not None
    assert len(found.entries) == 10_000

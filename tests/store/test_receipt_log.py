"""The log of a receipt: a crash at any byte loses at most the line that was being written."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from synapse_sync.errors import StorageError
from synapse_sync.store import receipt
from synapse_sync.store.receipt import Receipt, ReceiptEntry, log_changes
from synapse_sync.store.receipt_log import ReceiptLog, log_path

KEY, SECRET = "0123456789abcdef-t", b"s" * 32


def entry(path: str, sha256: str = "a" * 64) -> ReceiptEntry:
    return ReceiptEntry(path=path, sha256=sha256, size=1, how="copy", mtime_ns=1, inode=1, model="m")


def written(root: Path, *paths: str, secret: bytes | None = SECRET) -> tuple[ReceiptLog, dict[str, ReceiptEntry]]:
    entries = {path: entry(path) for path in paths}
    return receipt.write(root, Receipt(project=KEY, target="t", entries=entries), seal_with=secret), entries


def known(root: Path, secret: bytes | None = SECRET) -> Receipt:
    found = receipt.read(root, KEY, seal_with=secret)
    assert found is not None
    return found


def test_changes_are_read_after_the_receipt(tmp_path: Path) -> None:
    log, entries = written(tmp_path, "a", "b")
    entries["c"], entries["b"] = entry("c"), entry("b", "b" * 64)
    log_changes(log, entries, {"b", "c"}, seal_with=SECRET)
    del entries["a"]
    log_changes(log, entries, {"a"}, seal_with=SECRET)
    assert known(tmp_path).entries == entries
    assert known(tmp_path).sealed
    assert receipt.all_digests(tmp_path) == {"a" * 64, "b" * 64}
    assert {each.path for _, each in receipt.others(tmp_path)} == {"a", "b", "c"}


def test_wherever_it_is_cut_off_whole_lines_count(tmp_path: Path) -> None:
    log, entries = written(tmp_path, "a")
    states = [dict(entries)]
    ends = [0]
    for name in ("b", "c", "d"):
        entries[name] = entry(name)
        log_changes(log, entries, {name}, seal_with=SECRET)
        states.append(dict(entries))
        ends.append(log_path(log.receipt).stat().st_size)
    whole = log_path(log.receipt).read_bytes()
    for length in range(len(whole) + 1):
        log_path(log.receipt).write_bytes(whole[:length])
        lines = sum(end <= length for end in ends) - 1
        assert known(tmp_path).entries == states[lines], length


@pytest.mark.parametrize(
    "damage", [b"x", b"[]\n", b"{}\n", b'{"base":1}\n', b"\xff\n", b'{"entries":[1],"gone":[]}\n']
)
def test_nothing_counts_from_a_damaged_line_on(tmp_path: Path, damage: bytes) -> None:
    log, entries = written(tmp_path, "a")
    before = dict(entries)
    entries["b"] = entry("b")
    log_changes(log, entries, {"b"}, seal_with=SECRET)
    path = log_path(log.receipt)
    path.write_bytes(damage + path.read_bytes())
    assert known(tmp_path).entries == before


def test_a_line_with_a_bad_path_counts_for_nothing(tmp_path: Path) -> None:
    log, entries = written(tmp_path, "a")
    entries["b"], entries["../c"] = entry("b"), entry("../c")
    log_changes(log, entries, {"b", "../c"}, seal_with=SECRET)
    assert set(known(tmp_path).entries) == {"a"}


def test_it_counts_for_its_own_receipt_only(tmp_path: Path) -> None:
    log, entries = written(tmp_path, "a")
    entries["b"] = entry("b")
    log_changes(log, entries, {"b"}, seal_with=SECRET)
    kept = log_path(log.receipt).read_bytes()
    written(tmp_path, "z")
    assert not log_path(log.receipt).exists(), "the receipt that is written whole has everything"
    log_path(log.receipt).write_bytes(kept)  # as after a crash between the two steps
    assert set(known(tmp_path).entries) == {"z"}
    receipt.discard(tmp_path, KEY)
    assert not log_path(log.receipt).exists()


@pytest.mark.parametrize("forged", [SECRET, b"x" * 32, None])
def test_one_line_without_the_seal_and_the_whole_counts_as_not_sealed(tmp_path: Path, forged: bytes | None) -> None:
    log, entries = written(tmp_path, "a")
    for name, secret in (("b", SECRET), ("c", forged)):
        entries[name] = entry(name)
        log_changes(log, entries, {name}, seal_with=secret)
    assert known(tmp_path).sealed is (forged == SECRET)
    assert not known(tmp_path, None).sealed


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_nothing_but_a_file_of_its_own_is_written_or_read(tmp_path: Path, kind: str) -> None:
    log, entries = written(tmp_path, "a")
    path, victim = log_path(log.receipt), tmp_path / "victim"
    victim.write_bytes(b"mine")
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    entries["b"] = entry("b")
    with pytest.raises(StorageError):
        log_changes(log, entries, {"b"}, seal_with=SECRET)
    assert victim.read_bytes() == b"mine"
    assert set(known(tmp_path).entries) == {"a"}


def test_it_is_long_when_it_is_longer_than_the_receipt(tmp_path: Path) -> None:
    log, entries = written(tmp_path, "a")
    assert not log.is_long
    entries["b"] = replace(entry("b"), model="m" * (1 << 20))
    log_changes(log, entries, {"b"})
    assert log.is_long

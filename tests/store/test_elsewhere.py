"""What other projects of the store list, looked at again only where it changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.store import receipt
from synapse_sync.store.elsewhere import ListedElsewhere
from synapse_sync.store.projects import ProjectRecord, write_record
from synapse_sync.store.receipt import Receipt, ReceiptEntry, log_changes
from synapse_sync.store.receipt_log import ReceiptLog

A, B, C = "a" * 64, "b" * 64, "c" * 64


def listing(root: Path, key: str, *digests: str) -> tuple[ReceiptLog, dict[str, ReceiptEntry]]:
    entries = {
        sha256: ReceiptEntry(path=sha256, sha256=sha256, size=1, how="copy", mtime_ns=1, inode=1, model="m")
        for sha256 in digests
    }
    return receipt.write(root, Receipt(project=f"{key}-t", target="t", entries=entries)), entries


def test_what_others_list_is_read_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, root, mine = tmp_path / "store", tmp_path / "theirs", tmp_path / "mine"
    for key, place in (("other", root), ("own", mine)):
        write_record(store, key, ProjectRecord(project=str(tmp_path / key), roots={"t": str(place)}))
    log, entries = listing(root, "other", A)
    listing(mine, "own", C)
    reads: list[Path] = []
    real = receipt.digests_of
    monkeypatch.setattr(receipt, "digests_of", lambda path: reads.append(path) or real(path))
    elsewhere = ListedElsewhere(store, {"own-t"})
    for _ in range(50):
        assert A in elsewhere and B not in elsewhere and C not in elsewhere
    assert len(reads) == 1
    entries[B] = ReceiptEntry(path=B, sha256=B, size=1, how="copy", mtime_ns=1, inode=1, model="m")
    log_changes(log, entries, {B})
    assert B in elsewhere, "a line of the log"
    listing(root, "other", C)
    assert C in elsewhere and A not in elsewhere, "another receipt"
    listing(tmp_path / "third", "third", A)
    write_record(store, "third", ProjectRecord(project=str(tmp_path), roots={"t": str(tmp_path / "third")}))
    assert A in elsewhere, "another project"
    assert len(reads) == 4

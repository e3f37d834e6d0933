"""The ledger: each change costs the same, however many there were, and a crash between two saves loses little."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.core.manifest.values import Target
from synapse_sync.errors import StorageError
from synapse_sync.store import receipt
from synapse_sync.store.ledger import Ledger
from synapse_sync.store.ownership import Tree
from synapse_sync.store.receipt import Receipt, ReceiptEntry, receipt_path
from synapse_sync.store.receipt_log import log_path

KEY = "0123456789abcdef-t"


def entry(path: str, how: str = "copy") -> ReceiptEntry:
    return ReceiptEntry(path=path, sha256="a" * 64, size=1, how=how, mtime_ns=1, inode=1, model="m")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def ledger(root: Path, tmp_path: Path) -> Ledger:
    """A target with one listed file, whose receipt is that of a complete sync."""
    known = Receipt(project=KEY, target="t", entries={"old": entry("old")}, complete="state")
    receipt.write(root, known)
    return Ledger(
        {"t": Tree(target=Target(name="t", root=str(root)), root=root, receipt=known)}, tmp_path / "store"
    )


def listed(root: Path) -> set[str]:
    found = receipt.read(root, KEY)
    assert found is not None
    return set(found.entries)


def test_every_save_survives_a_crash_and_the_end_is_one_whole_receipt(ledger: Ledger, root: Path) -> None:
    wanted = {"old"}
    for number in range(20):
        ledger.put("t", entry(f"f{number}"))
        wanted.add(f"f{number}")
        if number % 5 == 4:
            ledger.drop("t", f"f{number - 1}")
            wanted.discard(f"f{number - 1}")
        assert ledger.save() == []
        assert listed(root) == wanted == set(ledger.entries("t"))
        found = receipt.read(root, KEY)
        assert found is not None and found.complete is None, "the state of before is no longer there"
    assert log_path(receipt_path(root, KEY)).exists()
    assert ledger.write() == []
    assert not log_path(receipt_path(root, KEY)).exists()
    assert listed(root) == wanted


def test_the_cost_of_a_change_does_not_grow(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    written = [0]
    for module, name in (("receipt", "write_atomic"), ("receipt_log", "append_line")):
        real = getattr(__import__(f"synapse_sync.store.{module}", fromlist=["x"]), name)

        def count(path: Path, data: bytes, real: object = real, **more: bool) -> None:
            written[0] += len(data)
            real(path, data, **more)  # type: ignore[operator]

        monkeypatch.setattr(f"synapse_sync.store.{module}.{name}", count)

    def bytes_for(first: int, last: int) -> float:
        before = written[0]
        for number in range(first, last):
            ledger.put("t", entry(f"f{number}"))
            if number % 20 == 19:
                ledger.save()
        return (written[0] - before) / (last - first)

    first = bytes_for(0, 2000)
    assert bytes_for(2000, 20_000) < 3 * first
    ledger.write()


def test_nothing_is_written_where_nothing_changed(ledger: Ledger, root: Path) -> None:
    before = receipt_path(root, KEY).stat().st_ino
    ledger.put("t", entry("old"))
    ledger.drop("t", "never listed")
    assert ledger.save() == [] and ledger.write() == []
    assert receipt_path(root, KEY).stat().st_ino == before
    ledger.put("t", entry("new"))
    ledger.save()
    before = receipt_path(root, KEY).stat().st_ino
    assert ledger.save() == [] and ledger.write() == []
    assert receipt_path(root, KEY).stat().st_ino == before, "it has been written, and has everything"


def test_a_change_that_is_taken_back_after_a_save_is_written(ledger: Ledger, root: Path) -> None:
    ledger.put("t", entry("new"))
    ledger.save()
    ledger.drop("t", "new")
    ledger.write()
    assert listed(root) == {"old"}


def test_a_failure_is_returned_and_the_changes_are_kept(
    ledger: Ledger, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.put("t", entry("first"))
    ledger.save()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "full")

    ledger.put("t", entry("second"))
    with monkeypatch.context() as patch:
        patch.setattr("synapse_sync.store.receipt_log.append_line", fail)
        assert [type(error) for error in ledger.save()] == [StorageError]
    assert listed(root) == {"old", "first"}
    assert ledger.write() == []
    assert listed(root) == {"old", "first", "second"}


def test_it_knows_the_links_to_a_blob(ledger: Ledger, root: Path) -> None:
    assert ledger.links_to("a" * 64) == set()
    ledger.put("t", entry("one", "symlink"))
    ledger.put("t", entry("two", "symlink"))
    assert ledger.links_to("a" * 64) == {(root, "one"), (root, "two")}
    ledger.put("t", entry("one", "move"))
    ledger.drop("t", "two")
    assert ledger.links_to("a" * 64) == set()

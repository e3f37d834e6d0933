"""The remembered digests while several threads hash: what one of them learns is never lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import meanwhile

from synapse_sync.store.known_digests import KnownDigests

#: Smaller files are not remembered.
_SIZE = 16 << 20


def sparse(path: Path, first: bytes) -> Path:
    with path.open("wb") as file:
        file.write(first)
        file.truncate(_SIZE)
    return path


@pytest.mark.parametrize("event", ["open", "os.rename"])
def test_digests_that_are_learned_during_a_save_are_saved_by_the_next_one(tmp_path: Path, event: str) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "digests.json").write_text("{}")
    one, other = sparse(tmp_path / "one", b"1"), sparse(tmp_path / "other", b"2")
    known = KnownDigests(store)
    known.both(one, lambda count: None)
    with meanwhile(event, store / "digests.json", lambda: known.both(other, lambda count: None)):
        known.save()
    known.save()
    fresh = KnownDigests(store)
    assert fresh.has(one) and fresh.has(other)


def test_digests_that_are_learned_while_another_thread_reads_the_old_ones_stay(tmp_path: Path) -> None:
    one, other = sparse(tmp_path / "one", b"1"), sparse(tmp_path / "other", b"2")
    (tmp_path / "digests.json").write_text("{}")
    known = KnownDigests(tmp_path)
    with meanwhile("open", tmp_path / "digests.json", lambda: known.both(other, lambda count: None)):
        known.both(one, lambda count: None)
    assert known.has(one) and known.has(other)

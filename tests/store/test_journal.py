"""The journal: whole lines, only ever appended."""

from __future__ import annotations

import errno
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from synapse_sync.errors import Conflict, StorageError
from synapse_sync.store import journal

SHA = "ab" * 32


def add(root: Path, path: str = "models/a.bin", why: str = "no longer wanted") -> None:
    journal.append(root, verb="prune", path=path, sha256=SHA, why=why, command="sync")


def lines(root: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (root / ".synapse" / "journal.jsonl").read_text("utf-8").splitlines()]


def test_appends(tmp_path: Path) -> None:
    root = tmp_path / "root"
    before = datetime.now(UTC).replace(microsecond=0)
    add(root)
    add(root, "models/é.bin", 'a "reason"\nof two lines')
    first, second = lines(root)
    assert before <= datetime.fromisoformat(first.pop("time")) <= datetime.now(UTC)
    assert first == {
        "verb": "prune", "path": "models/a.bin", "sha256": SHA, "why": "no longer wanted", "command": "sync",
    }  # fmt: skip
    assert (second["path"], second["why"]) == ("models/é.bin", 'a "reason"\nof two lines')
    assert (root / ".synapse" / ".gitignore").read_text() == "*\n"


def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    add(tmp_path, why="moved to \udcff")
    assert lines(tmp_path)[0]["why"] == "moved to \udcff"


def test_lines_of_many_writers_stay_whole(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=lambda: [add(tmp_path, f"models/{'x' * 3000}{n}") for n in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(tmp_path)) == 80


def test_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".synapse").mkdir()
    (tmp_path / ".synapse" / "journal.jsonl").symlink_to(victim)
    with pytest.raises(StorageError, match="writing the journal"):
        add(tmp_path)
    assert victim.read_text() == "precious"


def test_linked_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / ".synapse").symlink_to(tmp_path / "outside")
    with pytest.raises(Conflict):
        add(tmp_path)
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("cut", [True, False])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    def write(handle: int, data: bytes) -> int:
        if cut:
            return 5
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError, match="full"):
        add(tmp_path)


def test_half_a_line_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path)
    with monkeypatch.context() as full:
        write = os.write
        full.setattr(os, "write", lambda handle, data: write(handle, data[:9]))
        with pytest.raises(StorageError, match="cut off"):
            add(tmp_path)
    add(tmp_path)
    assert len(lines(tmp_path)) == 2


@pytest.mark.parametrize("umask", [0, 0o002, 0o027])
def test_its_mode_follows_the_umask(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        add(tmp_path)
    finally:
        os.umask(old)
    for name in ("journal.jsonl", ".gitignore"):
        assert (tmp_path / ".synapse" / name).stat().st_mode & 0o777 == 0o666 & ~umask

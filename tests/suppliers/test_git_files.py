"""Small files by git's own hash."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from synapse_sync.suppliers.git_files import GitFiles, git_hash

CONTENT = b'{"layers": 2}\n'


def files_in(folder: Path) -> Callable[[int], list[Path]]:
    return lambda size: [path for path in sorted(folder.iterdir()) if path.stat().st_size == size]


def test_the_hash_is_that_of_git(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(CONTENT)
    said = subprocess.run(
        ["git", "hash-object", "a.json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == git_hash(CONTENT)


def test_blobs_come_before_other_files_and_the_content_decides(tmp_path: Path) -> None:
    blob, other = tmp_path / "blob", tmp_path / "trees"
    blob.write_bytes(CONTENT)
    other.mkdir()
    (other / "config.json").write_bytes(CONTENT)
    (other / "wrong.json").write_bytes(b"{" * len(CONTENT))
    files = GitFiles(lambda: [(blob, len(CONTENT))], files_in(other))
    assert list(files.find(git_hash(CONTENT), len(CONTENT))) == [blob, other / "config.json"]
    assert list(files.find("0" * 40, len(CONTENT))) == []


@pytest.mark.parametrize("size", [0, 17 << 20])
def test_empty_and_large_files_are_not_looked_for(size: int) -> None:
    assert (
        list(GitFiles(lambda: [(Path("nowhere"), size)], lambda size: [Path("nowhere")]).find("0" * 40, size)) == []
    )


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    right = tmp_path / "right"
    right.write_bytes(CONTENT)
    files = GitFiles(lambda: [(tmp_path / "gone", len(CONTENT)), (right, len(CONTENT))], lambda size: [])
    assert list(files.find(git_hash(CONTENT), len(CONTENT))) == [right]

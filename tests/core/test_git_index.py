"""The index of git is read as git writes it, in every version, and damage is an error."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.git_index import Index, read_index

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git writes the index")
LINKS = {"out", "a/very/long/way/to/a/link", "a/very/long/way/to/b", "z"}


def git(directory: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(directory), *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    for name in ("a/file", "a/very/long/way/to/a/file", "out.txt", "y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in LINKS:
        (tmp_path / name).symlink_to("/somewhere")
    return tmp_path


@needs_git
@pytest.mark.parametrize("version", [2, 3, 4])
def test_links_of_every_version(repository: Path, version: int) -> None:
    git(repository, "add", "-A")
    git(repository, "add", "-N", "--", "y")
    git(repository, "update-index", "--index-version", str(version))
    data = (repository / ".git/index").read_bytes()
    assert read_index(data) == Index(frozenset(LINKS))
    for end in (11, 40, len(data) // 2):
        with pytest.raises(ValueError, match="index"):
            read_index(data[:end])


@needs_git
def test_ids_of_sha256(tmp_path: Path) -> None:
    git(tmp_path, "init", "--object-format=sha256")
    (tmp_path / "link").symlink_to("/somewhere")
    (tmp_path / "file").write_text("text")
    git(tmp_path, "add", "-A")
    assert read_index((tmp_path / ".git/index").read_bytes()).links == {"link"}


@needs_git
def test_a_split_index_names_its_base(repository: Path) -> None:
    git(repository, "add", "-A")
    git(repository, "update-index", "--split-index")
    index = read_index((repository / ".git/index").read_bytes())
    assert index.links == frozenset() and index.base is not None
    assert read_index((repository / ".git" / index.base).read_bytes()) == Index(frozenset(LINKS))


@given(st.binary(max_size=200))
def test_damage_is_a_value_error(noise: bytes) -> None:
    for data in (noise, b"DIRC\0\0\0\2\0\0\0\2" + noise, b"DIRC\0\0\0\4\0\0\0\3" + noise):
        try:
            assert isinstance(read_index(data), Index)
        except ValueError:
            continue

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synapse_sync.core.names import SafePath
from synapse_sync.errors import Conflict
from synapse_sync.store.reach import safe_parent


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_safe_parent_makes_directories(tmp_path: Path) -> None:
    root = tmp_path / "new" / "root"
    assert safe_parent(root, SafePath("a/b/c.bin")) == root / "a" / "b" / "c.bin"
    assert (root / "a" / "b").is_dir()
    assert not (root / "a" / "b" / "c.bin").exists()


def test_safe_parent_without_making(tmp_path: Path) -> None:
    assert safe_parent(tmp_path / "root", SafePath("a/b.bin"), create=False) == tmp_path / "root" / "a" / "b.bin"
    assert names(tmp_path) == []


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("kind", ["link", "dangling", "file", "fifo"])
@pytest.mark.parametrize("at", ["models", "models/loras"])
def test_safe_parent_refuses_what_is_no_directory(tmp_path: Path, create: bool, kind: str, at: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    obstacle = root / at
    obstacle.parent.mkdir(parents=True)
    if kind == "file":
        obstacle.touch()
    elif kind == "fifo":
        os.mkfifo(obstacle)
    else:
        obstacle.symlink_to(outside if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(Conflict, match="not followed") as caught:
        safe_parent(root, SafePath("models/loras/sub/x.bin"), create=create)
    assert str(obstacle) in caught.value.message
    assert names(outside) == []
    assert not (tmp_path / "nowhere").exists()


def test_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    safe_parent(tmp_path / "root", SafePath("models/x.bin"))
    assert (tmp_path / "real" / "models").is_dir()


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").touch()
    with pytest.raises(Conflict, match="is a file where the target's directory is needed"):
        safe_parent(tmp_path / "root", SafePath("x.bin"))

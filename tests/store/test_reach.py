"""The way to a path: links of the user's are followed, those that lead to others' files never."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from world import names_in

from synapse_sync.core.names import SafePath
from synapse_sync.errors import Conflict
from synapse_sync.store import reach
from synapse_sync.store.reach import make_way, walk_again, way_to

PATH = SafePath("models/loras/sub/x.bin")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    return tmp_path / "outside"


def test_the_directories_of_a_path_are_made(tmp_path: Path) -> None:
    root = tmp_path / "new" / "root"
    assert make_way(root, SafePath("a/b/c.bin"), None) == root / "a" / "b" / "c.bin"
    assert (root / "a" / "b").is_dir()
    assert not (root / "a" / "b" / "c.bin").exists()


def test_a_walk_makes_nothing(tmp_path: Path) -> None:
    assert walk_again(tmp_path / "root", SafePath("a/b.bin"), None) == tmp_path / "root" / "a" / "b.bin"
    assert way_to(tmp_path / "root", SafePath("a/b.bin")).real is None
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("at", [".", "models", "models/loras", "models/loras/sub"])
def test_a_link_is_followed_to_where_it_leads(tmp_path: Path, outside: Path, at: str) -> None:
    link = tmp_path / "root" / at
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    way = way_to(tmp_path / "root", PATH)
    assert (way.obstacle, dict(way.links)) == (None, {at: str(outside)})
    assert make_way(tmp_path / "root", PATH, way.real) == tmp_path / "root" / PATH.text
    assert Path(str(way.real)).is_dir() and Path(str(way.real)).is_relative_to(outside)


def test_a_chain_of_links_is_followed(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "second").mkdir()
    (outside / "loras").symlink_to(tmp_path / "second")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "models").symlink_to(tmp_path / "again")
    (tmp_path / "again").symlink_to(outside)
    way = way_to(tmp_path / "root", PATH)
    assert way.links == {"models": str(outside), "models/loras": str(tmp_path / "second")}
    assert way.real == str(tmp_path / "second" / "sub")


@pytest.mark.parametrize("kind", ["dangling", "loop", "through a file", "file", "fifo"])
@pytest.mark.parametrize("at", [".", "models", "models/loras"])
def test_no_directory_is_no_way(tmp_path: Path, kind: str, at: str) -> None:
    root = tmp_path / "root"
    obstacle = root / at
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        obstacle.touch()
    elif kind == "fifo":
        os.mkfifo(obstacle)
    else:
        (tmp_path / "file").touch()
        to = {"dangling": tmp_path / "nowhere", "loop": obstacle, "through a file": tmp_path / "file" / "below"}
        obstacle.symlink_to(to[kind])
    assert way_to(root, PATH).obstacle is not None
    for step in (walk_again, make_way):
        with pytest.raises(Conflict, match=r"not there|not a directory|is a file where"):
            step(root, PATH, None)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("at", [".", "models", "models/loras"])
@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_link_into_what_is_barred_is_refused(tmp_path: Path, outside: Path, at: str, inside: str) -> None:
    (outside / "deeper").mkdir()
    link = tmp_path / "root" / at
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside / inside)
    barred = {str(outside): "the store"}
    way = way_to(tmp_path / "root", PATH, barred)
    assert way.obstacle is not None and "into the store" in way.obstacle
    with pytest.raises(Conflict, match="into the store") as caught:
        make_way(tmp_path / "root", PATH, way.real, barred)
    assert "--force" not in str(caught.value.hint)
    assert names_in(outside) == ["deeper"] and names_in(outside / "deeper") == []


def test_a_neighbour_with_a_longer_name_is_not_barred(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "root").symlink_to(outside)
    assert way_to(tmp_path / "root", PATH, {str(outside)[:-1]: "the store"}).obstacle is None


@pytest.mark.parametrize("at", [".", "models", "models/loras"])
def test_a_link_that_appeared_since_the_look_is_not_followed(tmp_path: Path, outside: Path, at: str) -> None:
    root = tmp_path / "root"
    real = way_to(root, PATH).real
    (root / at).parent.mkdir(parents=True, exist_ok=True)
    (root / at).symlink_to(outside)
    for step in (walk_again, make_way):
        with pytest.raises(Conflict, match="changed since it was looked at"):
            step(root, PATH, real)
    assert names_in(outside) == []


@pytest.mark.parametrize("now", ["elsewhere", "a directory"])
def test_a_link_that_changed_since_the_look_is_not_followed(tmp_path: Path, outside: Path, now: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "models").symlink_to(outside)
    real = way_to(root, PATH).real
    (root / "models").unlink()
    if now == "elsewhere":
        (tmp_path / "elsewhere").mkdir()
        (root / "models").symlink_to(tmp_path / "elsewhere")
    else:
        (root / "models").mkdir()
    with pytest.raises(Conflict, match="changed since it was looked at"):
        make_way(root, PATH, real)


def test_a_link_that_appears_while_directories_are_made_is_seen(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = reach.make_tree_dirs

    def swapped(directory: Path) -> None:
        make(directory)
        if directory.name == "loras":
            directory.rename(tmp_path / "was")
            directory.symlink_to(outside)

    monkeypatch.setattr(reach, "make_tree_dirs", swapped)
    with pytest.raises(Conflict, match="changed since it was looked at"):
        make_way(tmp_path / "root", PATH, None)

"""The users' own previews and sidecars: found by name, never taken for ours, and nothing written elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synapse_sync.core.names import SafePath
from synapse_sync.errors import Conflict
from synapse_sync.store.sidecars import OwnPreviews, merge_into, remember

WEIGHTS = SafePath("models/loras/dream.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models/loras"
    path.mkdir(parents=True)
    return path


def own(root: Path, *placed: str) -> str | None:
    found = OwnPreviews(root, {f"{root}/{path}" for path in placed}).beside(WEIGHTS)
    return None if found is None else found.text


def test_without_a_folder_there_is_none(tmp_path: Path) -> None:
    assert own(tmp_path) is None


@pytest.mark.parametrize("name", ["dream.webp", "dream.preview.gif", "dream.png", "dream.mp4", "Dream.JPG"])
def test_a_file_that_nobody_placed_is_the_users(tmp_path: Path, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"mine")
    assert own(tmp_path) == f"models/loras/{name}"
    assert own(tmp_path, f"models/loras/{name}") is None


@pytest.mark.parametrize("name", ["dream.txt", "dreams.png", "dream.preview-2.png", "dream", "a dream.png"])
def test_other_files_are_no_previews_of_it(tmp_path: Path, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"something else")
    assert own(tmp_path) is None


def test_of_several_the_one_that_a_ui_shows(tmp_path: Path, folder: Path) -> None:
    for name in ("dream.gif", "dream.preview.jpg", "dream.jpg", "dream.webp"):
        (folder / name).write_bytes(b"mine")
    assert own(tmp_path) == "models/loras/dream.jpg"
    assert own(tmp_path, "models/loras/dream.jpg") == "models/loras/dream.preview.jpg"


def test_each_folder_is_listed_once(tmp_path: Path, folder: Path) -> None:
    """Ten thousand models in one folder must not read it ten thousand times."""
    (folder / "dream.png").write_bytes(b"mine")
    found = OwnPreviews(tmp_path, set())
    assert found.beside(WEIGHTS) == SafePath("models/loras/dream.png")
    (folder / "other.png").write_bytes(b"mine")
    assert found.beside(SafePath("models/loras/other.safetensors")) is None
    assert found.beside(WEIGHTS) == SafePath("models/loras/dream.png")


def test_weights_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "dream.png").write_bytes(b"mine")
    found = OwnPreviews(tmp_path, set()).beside(SafePath("dream.safetensors"))
    assert found == SafePath("dream.png")


def test_what_is_remembered_stays_in_the_target(tmp_path: Path) -> None:
    """A clone may have `.synapse/sidecars` as a link out of it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ui" / ".synapse").mkdir(parents=True)
    (tmp_path / "ui" / ".synapse" / "sidecars").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict, match="symbolic link"):
        remember(tmp_path / "ui", SafePath("models/a.json"), b"{}")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("kind", ["pipe", "large"])
def test_a_sidecar_that_is_no_small_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "a.json"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        with place.open("wb") as file:
            file.truncate(1 << 30)
    assert merge_into(place, b'{"a": 1}', tmp_path / "base") == "left as it is: not a JSON object"


@pytest.mark.parametrize(
    ("theirs", "base", "how"),
    [
        ('{"nodes": [1], "links": []}', "", "kept: other JSON, without a key of a sidecar"),
        ("{}", "", "kept: other JSON, without a key of a sidecar"),
        ('{"notes": "mine"}', "", "changed"),
        ('{"old": 1}', '{"old": 1}', "changed"),
    ],
)
def test_only_json_of_the_same_format_is_completed(tmp_path: Path, theirs: str, base: str, how: str) -> None:
    """A workflow beside a model may have the very name of a card."""
    place = tmp_path / "a.json"
    place.write_text(theirs)
    (tmp_path / "base").write_text(base)
    assert merge_into(place, b'{"notes": "", "sha256": "0f"}', tmp_path / "base") == how
    assert (place.read_text() == theirs) is (how != "changed")

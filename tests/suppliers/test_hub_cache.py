"""Finding files in the cache of the Hugging Face libraries; the real client fills one in tests/black_box."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from synapse_sync.core.reference import Reference
from synapse_sync.suppliers.hub_cache import HubCache

COMMIT, CONTENT = "1" * 40, b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def find(root: Path, *places: str, size: int | None = len(CONTENT)) -> list[Path]:
    return list(HubCache(root).files(SHA, size, [Reference.parse(place) for place in places]))


def test_no_cache_has_nothing(tmp_path: Path) -> None:
    assert find(tmp_path / "none", "hf://o/r/a.bin") == []


@pytest.mark.parametrize("repository", ["models--o--r", "datasets--o--r", "spaces--o--r"])
def test_weights_are_found_by_their_name(tmp_path: Path, repository: str) -> None:
    blob = put(tmp_path / repository / "blobs" / SHA)
    assert find(tmp_path) == [blob]
    assert find(tmp_path, size=None) == [blob]
    assert find(tmp_path, size=1) == []


@pytest.mark.parametrize(
    ("folder", "reference"),
    [
        ("models--o--r", f"hf://o/r@{COMMIT}/sub/config.json"),
        ("models--gpt2", f"hf://gpt2@{COMMIT}/sub/config.json"),
        ("datasets--o--r", f"hf://datasets/o/r@{COMMIT}/sub/config.json"),
        ("spaces--o--r", f"hf://spaces/o/r@{COMMIT}/sub/config.json"),
    ],
)
def test_what_git_keeps_is_found_by_its_place(tmp_path: Path, folder: str, reference: str) -> None:
    blob = put(tmp_path / folder / "blobs" / ("ab" * 20))
    link = tmp_path / folder / "snapshots" / COMMIT / "sub" / "config.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    assert find(tmp_path, reference) == [blob]
    assert find(tmp_path, reference.replace(COMMIT, "2" * 40)) == []
    assert find(tmp_path, "https://example.org/config.json", "hf://o/r") == []


def test_only_regular_files_count_and_each_once(tmp_path: Path) -> None:
    blobs = tmp_path / "models--o--r" / "blobs"
    blob = put(blobs / SHA)
    copy = tmp_path / "models--p--q" / "blobs" / SHA
    copy.parent.mkdir(parents=True)
    copy.symlink_to(blob)
    (tmp_path / "models--x--y" / "blobs" / SHA).mkdir(parents=True)
    dangling = tmp_path / "models--d--d" / "blobs" / SHA
    dangling.parent.mkdir(parents=True)
    dangling.symlink_to(tmp_path / "nowhere")
    put(tmp_path / "models--o--r" / "blobs" / f"{SHA}.incomplete")
    put(tmp_path / "elsewhere" / "blobs" / SHA)
    assert find(tmp_path) == [blob]

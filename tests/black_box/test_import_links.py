"""Import through links: a folder that leads into another target has an owner already."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo.weights import safetensors_bytes

#: As StabilityMatrix shares its folders with the UIs that it installs.
SHARED = {"checkpoints": "StableDiffusion", "loras": "Lora", "vae": "VAE"}
UI = "Data/Packages/ComfyUI"


@pytest.fixture
def matrix(project: Project) -> Project:
    """A StabilityMatrix with a ComfyUI whose folders are links to the shared ones, and one file of its own."""
    (project.path / "synapse.toml").unlink(missing_ok=True)
    for name, shared in SHARED.items():
        put(project, f"Data/Models/{shared}/{name}.safetensors")
        link = project.path / UI / "models" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("../../../Models") / shared)
    put(project, f"{UI}/models/upscale_models/own.safetensors")
    (project.path / UI / "comfy").mkdir()
    (project.path / UI / "folder_paths.py").touch()
    return project


def put(project: Project, path: str) -> None:
    place = project.path / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(safetensors_bytes(path))


def sources(project: Project) -> list[str]:
    found = tomllib.loads((project.path / "synapse.toml").read_text("utf-8"))["models"]
    return sorted(os.path.normpath(value["source"]) for value in found.values())


OWNED = sorted([
    *(f"Data/Models/{shared}/{name}.safetensors" for name, shared in SHARED.items()),
    f"{UI}/models/upscale_models/own.safetensors",
])  # fmt: skip


@pytest.mark.parametrize("calls", [[("Data",), (UI,)], [("Data", UI)], [(UI, "Data")]])
def test_a_file_behind_a_link_into_another_target_is_declared_once(
    matrix: Project, calls: list[tuple[str, ...]]
) -> None:
    left = [each for call in calls for each in matrix("import", *call, "--offline", "--json").json["left"]]
    assert len(left) == len(SHARED)
    assert all("is a symbolic link into the target `stabilitymatrix`" in each["reason"] for each in left)
    assert sources(matrix) == OWNED
    assert "in sync: 4 files" in matrix("sync").out
    assert matrix("sync", "--check").code == 0


def test_an_import_that_would_bar_the_way_to_managed_files_is_refused(matrix: Project) -> None:
    matrix("import", UI, "--offline")
    assert "in sync: 4 files" in matrix("sync").out
    text = (matrix.path / "synapse.toml").read_text("utf-8")
    done = matrix("import", "Data", "--offline", code=7)
    assert "target `comfyui` would lose its files" in done.err
    assert (matrix.path / "synapse.toml").read_text("utf-8") == text
    assert "in sync: 4 files" in matrix("sync").out


def test_a_link_to_another_disk_is_followed(matrix: Project) -> None:
    """Without the shared folders as a target, the links are the user's own."""
    assert matrix("import", UI, "--offline", "--json").json["left"] == []
    assert len(sources(matrix)) == 4

"""Parts of the work, for jobs of an array: together they are everything."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

MANIFEST = f"""
[targets.comfy]
layout = "comfyui"
root = "ComfyUI"
[models]
portrait = "civitai:{catalogue.PORTRAIT}"
eyes = "civitai:{catalogue.EYES}"
detail = "civitai:{catalogue.DETAIL}"
vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
"""
PARTS = [f"{number}/3" for number in (1, 2, 3)]
LARGE = 16 << 20


@pytest.fixture
def synced(project: Project) -> Project:
    project.manifest(MANIFEST)
    project("sync", "--link-mode", "copy")
    return project


def spoil(path: Path) -> None:
    """Change the content of a file that looks as before."""
    found = path.stat()
    path.chmod(0o600)
    path.write_bytes(bytes(found.st_size))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_the_parts_of_a_verification_are_everything(synced: Project) -> None:
    whole = synced("verify", "--json").json
    parts = [synced("verify", "--shard", part, "--json").json for part in PARTS]
    assert sum(part["files"] for part in parts) == whole["files"] == 4
    assert sum(part["bytes"] for part in parts) == whole["bytes"]
    assert "(part 1/3)" in synced("verify", "--shard", "1/3").err


def test_one_part_finds_the_bad_file(synced: Project) -> None:
    spoil(synced.path / "ComfyUI/models/vae/portrait_vae.safetensors")
    codes = [synced("verify", "--shard", part, code=None).code for part in PARTS]
    assert sorted(codes) == [0, 0, 6]


def test_the_parts_of_a_store_are_everything(synced: Project) -> None:
    spoil(next(path for path in (synced.store / "blobs").rglob("*") if path.is_file()))
    parts = [synced("store", "verify", "--shard", part, "--json", code=None).json for part in PARTS]
    assert sum(part["blobs"] for part in parts) == 4
    assert sum(len(part["set_aside"]) for part in parts) == 1 and len(synced.blobs()) == 3


def test_the_parts_of_an_import_are_hashed_before_it(project: Project) -> None:
    folder = project.path / "ComfyUI/models/loras"
    folder.mkdir(parents=True)
    for name in "abcd":
        (folder / f"{name}.safetensors").write_bytes(safetensors_bytes(name, size=LARGE + ord(name)))
    project.manifest('[targets.comfy]\nlayout = "comfyui"\nroot = "ComfyUI"\n')
    said = [project("import", "ComfyUI", "--offline", "--shard", part, "--json").json for part in PARTS]
    assert sum(part["files"] for part in said) == 4 and sum(part["bytes"] for part in said) > 4 * LARGE
    assert not (project.path / "synapse.lock").exists(), "a part declares nothing"
    known = json.loads((project.store / "digests.json").read_text())
    assert sorted(Path(path).name for path in known) == [f"{name}.safetensors" for name in "abcd"]
    again = [project("import", "ComfyUI", "--offline", "--shard", part, "--json").json["bytes"] for part in PARTS]
    assert again == [0, 0, 0]
    project("import", "ComfyUI", "--offline")
    assert {model["artifact"][0]["sha256"] for model in project.locked()} == {value[3] for value in known.values()}


def test_the_parts_of_a_push_are_everything(synced: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    parts = [
        synced("store", "push", "--all", "--to", str(remote), "--shard", part, "--json").json for part in PARTS
    ]
    assert sum(len(part["files"]) for part in parts) == 4
    assert sorted(path.name for path in (remote / "blobs").rglob("*") if path.is_file()) == synced.blobs()


@pytest.mark.parametrize(
    "words", [["verify"], ["store", "verify"], ["import", "."], ["store", "push", "--all"]], ids=" ".join
)
def test_a_part_that_is_none_is_refused(synced: Project, words: list[str]) -> None:
    assert "the parts of 3 are 1/3 to 3/3" in " ".join(synced(*words, "--shard", "4/3", code=2).err.split())


def test_a_repair_is_of_everything(synced: Project) -> None:
    assert "--repair cannot" in synced("verify", "--repair", "--shard", "1/2", code=2).err


def test_a_cluster_needs_a_connection(synced: Project) -> None:
    assert synced("verify", "--offline", "--dask", "tcp://127.0.0.1:1", code=None).code in (2, 5)

"""Genuine weights, made by others: from three kinds of sites to the disk, byte for byte.

The package `fracast` brings small, real safetensors files. Only its files are used; it is never imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from world import places_below

from synapse_sync.cli.main import main
from synapse_sync.core.lockfile import LockedModel, parse_lockfile
from synapse_sync.core.safetensors import check_header
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.hub import Hub

SIZES = {"model.safetensors": 344_412, "model.int8.safetensors": 113_228}
CONFIGS = ("config.json", "w8_manifest.json")

MANIFEST = """\
[targets.comfy]
layout = "comfyui"
root = "ComfyUI"

[models]
repository = { source = "hf://fracast/fracast", type = "diffusion_model" }
version = "civitai:777@778"
plain = { source = "%s/files/model.safetensors", type = "lora", filename = "plain.safetensors" }
"""


def _weights() -> dict[str, bytes]:
    spec = importlib.util.find_spec("fracast")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("fracast is not installed; `make setup` installs it")
    directory = Path(spec.submodule_search_locations[0]) / "weights"
    return {name: (directory / name).read_bytes() for name in (*SIZES, *CONFIGS)}


@dataclass(frozen=True)
class Studio:
    """A project that wants the weights from everywhere."""

    path: Path
    store: Path
    hub: Hub
    weights: dict[str, bytes]

    def run(self, *words: str) -> int:
        return main([*words, "-C", str(self.path)])

    def locked(self) -> dict[str, LockedModel]:
        return {m.name: m for m in parse_lockfile((self.path / "synapse.lock").read_text("utf-8")).models}

    def placed(self) -> dict[str, bytes]:
        root = self.path / "ComfyUI" / "models"
        return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}

    def wanted(self) -> dict[str, bytes]:
        own = {f"diffusion_models/repository/{name}": content for name, content in self.weights.items()}
        full = self.weights["model.safetensors"]
        return own | {"checkpoints/fracast_v1.safetensors": full, "loras/plain.safetensors": full}


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    weights = _weights()
    home, project = tmp_path / "home", tmp_path / "studio"
    home.mkdir()
    project.mkdir()
    with Hub() as hub:
        hub.huggingface.add_repo("fracast/fracast", weights)
        file = File(id=779, name="fracast_v1.safetensors", content=weights["model.safetensors"], primary=True)
        version = Version(id=778, name="v1", files=(file,))
        hub.civitai.add(Model(id=777, name="Fracast", versions=(version,)))
        hub.files.put("model.safetensors", weights["model.safetensors"])
        os.environ |= hub.environment() | places_below(home)
        (project / "synapse.toml").write_text(MANIFEST % hub.files.url, encoding="utf-8")
        yield Studio(project, home / "store", hub, weights)
    assert hub.crashes == []


def test_the_files_are_what_they_are_said_to_be() -> None:
    weights = _weights()
    for name, size in SIZES.items():
        content = weights[name]
        assert len(content) == size
        check_header(content[: 8 + int.from_bytes(content[:8], "little")], size)


def test_the_bytes_on_disk_are_the_originals(studio: Studio) -> None:
    assert studio.run("lock") == 0
    assert studio.run("sync", "--locked") == 0
    assert studio.placed() == studio.wanted()
    assert studio.run("verify") == 0
    assert studio.run("verify", "--store") == 0

    studio.hub.clear_log()
    assert studio.run("sync") == 0
    assert studio.hub.requests() == []


def test_every_artifact_is_locked_with_its_digest(studio: Studio) -> None:
    assert studio.run("lock") == 0
    locked = studio.locked()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in studio.weights.items()}
    repository = {artifact.filename: artifact for artifact in locked["repository"].artifacts}
    assert {name: artifact.sha256 for name, artifact in repository.items()} == digests
    assert {name: artifact.size for name, artifact in repository.items()} == {
        name: len(content) for name, content in studio.weights.items()
    }
    for name in ("version", "plain"):
        (artifact,) = locked[name].artifacts
        assert artifact.sha256 == digests["model.safetensors"]
    # The small files are stored by git, which gives no sha256: they were seen, and checked by git's own digest.
    assert [repository[name].trust for name in CONFIGS] == [None, None]
    assert locked["plain"].artifacts[0].trust == "first-use"


def test_one_copy_for_three_places(studio: Studio) -> None:
    assert studio.run("sync") == 0
    blobs = {path.name: path for path in (studio.store / "blobs").rglob("*") if path.is_file()}
    assert set(blobs) == {hashlib.sha256(content).hexdigest() for content in studio.weights.values()}
    # The URL had to be read to know its digest, so the bytes were there already for the other two.
    downloads = [seen for seen in studio.hub.requests("storage") if "model.int8" not in seen.path]
    full = hashlib.sha256(studio.weights["model.safetensors"]).hexdigest()
    assert not [seen for seen in downloads if seen.path.endswith((full, "fracast_v1.safetensors"))]


def test_a_flipped_bit_in_real_weights_is_found_and_mended(studio: Studio) -> None:
    assert studio.run("sync") == 0
    victim = studio.path / "ComfyUI" / "models" / "loras" / "plain.safetensors"
    victim.chmod(0o644)
    content = bytearray(victim.read_bytes())
    content[200_000] ^= 1
    victim.write_bytes(content)
    assert studio.run("verify") == 6
    assert studio.run("verify", "--repair") == 0
    assert studio.run("verify") == 0
    assert {name: content for name, content in studio.placed().items() if ".synapse" not in name} == studio.wanted()

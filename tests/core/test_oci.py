"""The documents and layers of a registry."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest

from synapse_sync.core.names import SafePath
from synapse_sync.core.oci import (
    MOST_LAYERS,
    Document,
    PackedFile,
    image_layers,
    image_package,
    model_package,
    tar_layer,
)
from synapse_sync.errors import InputError


def packed(path: str, size: int = 10, **facts: Any) -> PackedFile:
    digest = hashlib.sha256(path.encode()).hexdigest()
    return PackedFile(path=SafePath(path), sha256=digest, size=size, **facts)


def value(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document.data)
    return found


def test_the_order_of_files_changes_nothing() -> None:
    files = [packed(f"models/{number}.gguf", size=number, format="gguf") for number in range(50)]
    shuffled = random.Random(1).sample(files, len(files))
    assert model_package(files) == model_package(shuffled)
    assert image_layers(files) == image_layers(shuffled)


def test_layers_say_what_a_file_is() -> None:
    files = [
        packed("a.safetensors", format="safetensors"),
        packed("b.json", format="config"),
        packed("c.md", format="text"),
        packed("d.py", format="text"),
        packed("e.xyz"),
    ]
    layers = value(model_package(files).top)["layers"]
    kinds = [layer["mediaType"].removeprefix("application/vnd.cncf.model.") for layer in layers]
    assert kinds == ["weight.v1.raw", "weight.config.v1.raw", "doc.v1.raw", "code.v1.raw", "weight.v1.raw"]
    assert all(layer["annotations"]["org.opencontainers.image.title"] in "a.safetensors b.json c.md d.py e.xyz"
               for layer in layers)  # fmt: skip


def test_the_config_says_what_all_weights_share() -> None:
    one = packed("a.gguf", format="gguf", precision="q8_0")
    config = value(model_package([one, packed("b.json", format="config")], "studio").configs[0])
    assert config["config"] == {"format": "gguf", "precision": "q8_0"} and config["descriptor"] == {
        "name": "studio"
    }
    mixed = [one, packed("b.safetensors", format="safetensors", precision="q8_0")]
    assert value(model_package(mixed).configs[0])["config"] == {"precision": "q8_0"}
    assert value(model_package([packed("c")]).configs[0])["config"] == {}


def test_documents_name_each_other_by_digest() -> None:
    package = image_package([tar_layer("a" * 64, 1024)])
    entries = value(package.top)["manifests"]
    assert [entry["digest"] for entry in entries] == [one.descriptor.digest for one in package.manifests]
    assert {entry["platform"]["architecture"] for entry in entries} == {"amd64", "arm64"}
    for manifest, config in zip(package.manifests, package.configs, strict=True):
        assert value(manifest)["config"]["digest"] == config.descriptor.digest
        assert value(config)["rootfs"]["diff_ids"] == ["sha256:" + "a" * 64]
        assert "created" not in value(config)


def test_the_oldest_models_come_first() -> None:
    files = [packed("new", published="2026-05-01"), packed("old", published="2024-01-01"), packed("undated")]
    assert [layer.files[0].path.text for layer in image_layers(files)] == ["undated", "old", "new"]


def test_more_files_than_layers() -> None:
    files = [packed(f"{number:04}", size=number) for number in range(300)]
    layers = image_layers(files)
    assert len(layers) == MOST_LAYERS
    assert {layer.files[0].size for layer in layers[:-1]} == set(range(300 - MOST_LAYERS + 1, 300))
    assert len(layers[-1].files) == 300 - MOST_LAYERS + 1
    assert len(image_layers(files[:MOST_LAYERS])) == MOST_LAYERS


def test_links_share_the_last_layer() -> None:
    link = packed("snapshots/a", link="../blobs/a")
    layers = image_layers([link, packed("blobs/a", published="2026-01-01")])
    assert layers[-1].files == (link,)
    assert layers[-1].size == sum(len(piece) for piece in layers[-1].pieces() if isinstance(piece, bytes))


def test_a_name_that_deletes_is_no_file_of_an_image() -> None:
    with pytest.raises(InputError, match="deletes a file"):
        image_layers([packed("models/.wh..wh..opq")])


def test_a_list_that_no_registry_accepts() -> None:
    files = [packed(f"models/{number:0150}.gguf") for number in range(10_000)]
    with pytest.raises(InputError, match="registries accept"):
        model_package(files)

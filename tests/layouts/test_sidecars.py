"""Sidecars: what each tells, in the keys of the tool that reads it."""

from __future__ import annotations

import json

import pytest

from synapse_sync.core.artifact import Artifact, ModelCard, Preview
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import SIDECARS as NAMES
from synapse_sync.core.reference import Reference
from synapse_sync.layouts import LAYOUTS
from synapse_sync.layouts.sidecars import SIDECARS, About

SHA = "ab" * 32


def about(
    reference: str = "civitai:4384@128713+93602", *, base: str = "SD 1.5", kind: str = "lora", nsfw: int = 1
) -> About:
    card = ModelCard(
        title="DreamShaper",
        version_name="8",
        type=kind,
        base_model=base,
        trained_words=("a", "b c"),
        nsfw=nsfw,
        previews=(Preview(url=Reference.parse("https://image.civitai.com/x/1.jpeg"), nsfw=2),),
    )
    artifact = Artifact(
        filename="dreamshaper_8.safetensors",
        size=10,
        sha256=SHA,
        url=Reference.parse("civitai:@128713"),
        format="safetensors",
        precision="fp16",
        blake3="cd" * 32,
    )
    model = LockedModel(
        name="d", requirement="r", reference=Reference.parse(reference), card=card, artifacts=(artifact,)
    )
    return About(
        model=model,
        artifact=artifact,
        path="/ui/models/dreamshaper_8.safetensors",
        preview="/ui/models/dreamshaper_8.preview.jpeg",
        modified=5.0,
        now="2026-01-01T00:00:00+00:00",
    )


def words(kind: str, told: About) -> dict[str, object]:
    tell = SIDECARS[kind].words
    assert tell is not None
    found = tell(told)
    json.dumps(found)
    return found


def test_the_manifest_knows_all_of_them() -> None:
    assert tuple(SIDECARS) == NAMES
    assert {name for layout in LAYOUTS.values() for name in layout.sidecars} <= set(NAMES)


def test_no_two_have_one_name() -> None:
    assert len({sidecar.suffix for sidecar in SIDECARS.values()}) == len(SIDECARS)


def test_a1111() -> None:
    """F41: A1111's `<stem>.json` with its known keys."""
    assert words("a1111", about()) == {
        "description": "DreamShaper 8", "sd version": "SD1", "activation text": "a, b c", "preferred weight": 0,
        "notes": "", "modelId": 4384, "modelVersionId": 128713, "sha256": SHA.upper(),
    }  # fmt: skip
    assert "modelId" not in words("a1111", about("hf://o/r@main/x.safetensors"))


@pytest.mark.parametrize(
    ("base", "version"),
    [("SD 1.5", "SD1"), ("SD 1.5 LCM", "SD1"), ("SD 2.1 768", "SD2"), ("SDXL 1.0", "SDXL"), ("Pony", "SDXL"),
     ("Illustrious", "SDXL"), ("NoobAI", "SDXL"), ("SD 3.5", "SD3"), ("Flux.1 D", "Unknown"), ("", "Unknown")],
)  # fmt: skip
def test_a1111_generations(base: str, version: str) -> None:
    assert words("a1111", about(base=base))["sd version"] == version


def test_stability_matrix() -> None:
    """F43: `.cm-info.json` is PascalCase."""
    assert words("stability-matrix", about(nsfw=8)) == {
        "ModelId": 4384, "ModelName": "DreamShaper", "ModelDescription": "", "Nsfw": True, "Tags": [],
        "ModelType": "LORA", "VersionId": 128713, "VersionName": "8", "BaseModel": "SD 1.5",
        "FileMetadata": {"fp": "fp16", "format": "SafeTensor"}, "ImportedAt": "2026-01-01T00:00:00+00:00",
        "Hashes": {"SHA256": SHA.upper(), "BLAKE3": "CD" * 32}, "TrainedWords": ["a", "b c"],
        "ThumbnailImageUrl": "https://image.civitai.com/x/1.jpeg",
    }  # fmt: skip


def test_lora_manager() -> None:
    """F43: `.metadata.json` is snake_case, with a SHA-256 in lower case."""
    found = words("lora-manager", about())
    assert (found["sha256"], found["file_name"]) == (SHA, "dreamshaper_8")
    assert (found["preview_url"], found["preview_nsfw_level"]) == ("/ui/models/dreamshaper_8.preview.jpeg", 2)
    assert found["civitai"] == {
        "id": 128713, "modelId": 4384, "name": "8", "baseModel": "SD 1.5", "trainedWords": ["a", "b c"],
        "publishedAt": None, "model": {"name": "DreamShaper", "type": "LORA"},
    }  # fmt: skip
    assert words("lora-manager", about(kind="checkpoint"))["model_type"] == "checkpoint"
    elsewhere = words("lora-manager", about("hf://o/r@main/x.safetensors"))
    assert (elsewhere["from_civitai"], elsewhere["civitai"]) == (False, None)


def test_swarmui_gets_one_sidecar_only() -> None:
    """F44: SwarmUI merges all sidecars' top-level keys: no two of ours may meet there."""
    assert len(LAYOUTS["swarmui"].sidecars) == 1
    shared = set(words("a1111", about())) & set(words("stability-matrix", about()))
    assert not shared

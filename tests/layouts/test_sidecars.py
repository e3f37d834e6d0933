"""Sidecars: what each tells, in the keys of the tool that reads it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from synapse_sync.core.artifact import Artifact, ModelCard, Preview
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import SIDECARS as NAMES
from synapse_sync.core.reference import Reference
from synapse_sync.core.site_facts import SiteFacts
from synapse_sync.layouts import LAYOUTS
from synapse_sync.layouts.sidecars import SIDECARS, About

SHA = "ab" * 32


def about(
    reference: str = "civitai:4384@128713+93602",
    *,
    base: str | None = "SD 1.5",
    kind: str = "lora",
    layout: str = "a1111",
    trained_words: tuple[str, ...] = ("a", "b c"),
    license: tuple[tuple[str, object], ...] = (),
    nsfw: int | None = 1,
    rating: int = 2,
) -> About:
    card = ModelCard(
        title="DreamShaper",
        version_name="8",
        type=kind,
        base_model=base,
        trained_words=trained_words,
        license=license,
        nsfw=nsfw,
        previews=(Preview(url=Reference.parse("https://image.civitai.com/x/1.jpeg"), nsfw=rating),),
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
        layout=layout,
        type=kind,
        preview="/ui/models/dreamshaper_8.preview.jpeg",
        shown=card.previews[0],
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


def test_no_two_of_one_ui_have_one_name() -> None:
    """SD.Next reads another document under the name of A1111's card."""
    suffixes = [sidecar.suffix for kind, sidecar in SIDECARS.items() if kind != "sdnext"]
    assert len({*suffixes}) == len(suffixes)
    assert not any({"a1111", "sdnext"} <= {*layout.sidecars} for layout in LAYOUTS.values())


def test_a1111() -> None:
    """F41: A1111's `<stem>.json` with its known keys."""
    assert words("a1111", about()) == {
        "description": "DreamShaper 8", "sd version": "SD1", "activation text": "a, b c", "preferred weight": 0,
        "notes": "", "modelId": 4384, "modelVersionId": 128713, "sha256": SHA.upper(),
    }  # fmt: skip
    assert "modelId" not in words("a1111", about("hf://o/r@main/x.safetensors"))


@pytest.mark.parametrize(
    ("base", "a1111", "forge"),
    [
        ("SD 1.5", "SD1", "SD1"), ("SD 1.5 LCM", "SD1", "SD1"), ("SD 2.1 768", "SD2", "SD2"),
        ("SDXL 1.0", "SDXL", "SDXL"), ("SDXL Lightning", "SDXL", "SDXL"), ("Pony", "SDXL", "SDXL"),
        ("Illustrious", "SDXL", "SDXL"), ("NoobAI", "SDXL", "SDXL"), ("Flux.1 S", "Unknown", "Flux"),
        ("Flux.1 Krea", "Unknown", "Flux"), ("SD 3.5 Large", "Unknown", "Unknown"), ("SD 3", "Unknown", "Unknown"),
        ("Pony V7", "Unknown", "Unknown"), ("Qwen", "Unknown", "Unknown"), ("Other", "Unknown", "Unknown"),
    ],
)  # fmt: skip
def test_the_generation_is_in_words_of_the_very_ui(base: str, a1111: str, forge: str) -> None:
    """A card with a word that its UI does not have is hidden."""
    assert words("a1111", about(base=base))["sd version"] == a1111
    for layout in ("forge", "forge-neo"):
        assert words("a1111", about(base=base, layout=layout))["sd version"] == forge


@pytest.mark.parametrize("base", [None, ""])
@pytest.mark.parametrize("layout", ["a1111", "forge", "comfyui"])
def test_without_a_base_the_ui_finds_the_generation_itself(base: str | None, layout: str) -> None:
    assert "sd version" not in words("a1111", about(base=base, layout=layout))


@pytest.mark.parametrize(
    ("trained", "line"),
    [
        ((), ""),
        (("a", "b c"), "a, b c"),
        (("a,b , ,", " c", ""), "a, b, c"),
        (("one\r\ntwo", "three\u2028four", "tab\there"), "one two, three four, tab here"),
        (("\n", " , "), ""),
    ],
)
def test_the_activation_text_is_one_line_of_words(trained: tuple[str, ...], line: str) -> None:
    """The page of A1111 puts it into a script, where a line break is an error of syntax."""
    assert words("a1111", about(trained_words=trained))["activation text"] == line


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
        "publishedAt": None,
        "model": {
            "name": "DreamShaper", "type": "LORA", "allowNoCredit": False, "allowCommercialUse": [],
            "allowDerivatives": False, "allowDifferentLicense": False,
        },
    }  # fmt: skip
    assert words("lora-manager", about(kind="checkpoint"))["model_type"] == "checkpoint"
    elsewhere = words("lora-manager", about("hf://o/r@main/x.safetensors"))
    assert (elsewhere["from_civitai"], elsewhere["civitai"]) == (False, None)


@pytest.mark.parametrize(
    ("facts", "credit", "uses", "derivatives"),
    [
        ({"allow-commercial-use": "None", "allow-no-credit": True, "allow-derivatives": False}, True, [], False),
        (
            {"allow-commercial-use": "Image,RentCivit", "allow-derivatives": True},
            False,
            ["Image", "RentCivit"],
            True,
        ),
        ({"creator": "ada"}, False, [], False),
    ],
)
def test_lora_manager_learns_what_the_author_allows(
    facts: dict[str, object], credit: bool, uses: list[str], derivatives: bool
) -> None:
    """To it a missing key allows everything, so what the site did not say is written as forbidden."""
    civitai = words("lora-manager", about(license=tuple(facts.items())))["civitai"]
    assert isinstance(civitai, dict)
    model = civitai["model"]
    assert model["allowNoCredit"] is credit
    assert model["allowCommercialUse"] == uses
    assert model["allowDerivatives"] is derivatives
    assert model["allowDifferentLicense"] is False


@pytest.mark.parametrize("kind", ["lora-manager", "stability-matrix"])
def test_the_author_reaches_the_managers(kind: str) -> None:
    found = words(kind, about(license=(("creator", "zoe q"),)))
    civitai = found.get("civitai")
    author = civitai["creator"]["username"] if isinstance(civitai, dict) else found["AuthorUsername"]
    assert author == "zoe q"
    assert "zoe q" not in json.dumps(words(kind, about()))


@pytest.mark.parametrize(
    ("format", "word"),
    [("safetensors", "SafeTensor"), ("pickle", "PickleTensor"), ("gguf", "GGUF"), ("onnx", None)],
)
def test_the_format_is_in_the_managers_words(format: str, word: str | None) -> None:
    told = about()
    told = replace(told, artifact=replace(told.artifact, format=format))
    assert words("stability-matrix", told)["FileMetadata"] == {"fp": "fp16", "format": word}


@pytest.mark.parametrize(
    ("nsfw", "hidden"), [(1, False), (3, False), (4, True), (31, True), (0, True), (None, True)]
)
def test_an_unrated_model_is_hidden_where_such_are_hidden(nsfw: int | None, hidden: bool) -> None:
    assert words("stability-matrix", about(nsfw=nsfw))["Nsfw"] is hidden


def test_an_unrated_preview_has_the_level_of_its_model() -> None:
    assert words("lora-manager", about(rating=0, nsfw=12))["preview_nsfw_level"] == 8
    assert words("lora-manager", about(rating=1, nsfw=12))["preview_nsfw_level"] == 1


def test_swarmui_gets_one_sidecar_only() -> None:
    """F44: SwarmUI merges all sidecars' top-level keys: no two of ours may meet there."""
    assert len(LAYOUTS["swarmui"].sidecars) == 1
    shared = set(words("a1111", about())) & set(words("stability-matrix", about()))
    assert not shared


def test_the_card_of_a_checkpoint_on_forge_has_its_version_once_more() -> None:
    """Forge reads `sd_version_str` for checkpoints, and `sd version` for LoRAs."""
    assert words("a1111", about(kind="checkpoint", layout="forge", base="SDXL 1.0"))["sd_version_str"] == (
        "SdVersion.SDXL"
    )
    for told in (
        about(layout="forge"),
        about(kind="checkpoint"),
        about(kind="checkpoint", layout="forge", base="Qwen"),
    ):
        assert "sd_version_str" not in words("a1111", told)


@pytest.mark.parametrize(
    ("kind", "word", "sub_type"),
    [
        ("lora", "LoCon", "locon"), ("lora", "DoRA", "dora"), ("lora", "LORA", None), ("lora", None, None),
        ("checkpoint", "Checkpoint", "checkpoint"), ("diffusion_model", "Checkpoint", "diffusion_model"),
        ("embedding", "TextualInversion", "embedding"),
    ],
)  # fmt: skip
def test_the_subtype_is_in_words_of_the_manager(kind: str, word: str | None, sub_type: str | None) -> None:
    told = replace(about(kind=kind), site=SiteFacts(type=word, sizes={SHA: "pruned"}))
    assert words("lora-manager", told).get("sub_type") == sub_type
    found = words("stability-matrix", told)
    assert found["FileMetadata"] == {"fp": "fp16", "format": "SafeTensor", "size": "pruned"}
    assert word is None or found["ModelType"] == word

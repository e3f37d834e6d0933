"""The metadata of trainers: facts to show, and the family it claims."""

from __future__ import annotations

import json

import pytest

from synapse_sync.core.weights.training import claimed_family, training_of


def test_facts() -> None:
    tags = {"10_cat": {"a cat": 12, "red": 3}, "5_dog": {"red": 20, "dog ": 5}}
    found = dict(
        training_of(
            {
                "ss_network_dim": "16",
                "ss_sd_model_name": "None",
                "modelspec.title": "Two\nlines",
                "modelspec.thumbnail": "data:image/jpeg;base64,AAAA",
                "sshs_model_hash": "0" * 64,
                "general.architecture": "flux",
                "ss_tag_frequency": json.dumps(tags),
                "ss_output_name": "x" * 1000,
            }
        )
    )
    assert found.pop("ss_output_name") == "x" * 300
    assert found == {
        "ss_network_dim": "16", "modelspec.title": "Two lines", "general.architecture": "flux",
        "ss_tag_frequency": "red, a cat, dog",
    }  # fmt: skip


@pytest.mark.parametrize("tags", ["", "{", "[1]", '{"a": 1}', '{"a": {"b": "c"}}', "[" * 100_000])
def test_odd_tags_are_left_out(tags: str) -> None:
    assert training_of({"ss_tag_frequency": tags}) == ()


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({"ss_base_model_version": "sd_v1"}, "SD1.x"), ({"ss_base_model_version": "sd_v2_768_v"}, "SD2.x"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "SDXL"),
        ({"modelspec.architecture": "Flux.1-dev/lora"}, "Flux.1"),
        ({"modelspec.architecture": "flux-2-dev/lora"}, "Flux.2"),
        ({"modelspec.architecture": "new", "ss_base_model_version": "wan2.2"}, "Wan2.2"),
    ],
)  # fmt: skip
def test_claims(metadata: dict[str, str], family: str) -> None:
    found = claimed_family(metadata)
    assert found is not None
    assert found[0] == family


def test_no_claim() -> None:
    assert claimed_family({}) is None
    assert claimed_family({"ss_base_model_version": "tomorrow"}) is None

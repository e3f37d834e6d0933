"""The settings of images, and the models that they name."""

from __future__ import annotations

from typing import Any

import pytest

from synapse_sync.core.image_meta import ImageMeta, Resource


def models(**raw: Any) -> list[tuple[str, str | None, str | None]]:
    """The models of these settings: kind, name and reference."""
    found = ImageMeta(raw).models()
    return [(one.kind, one.name, None if one.reference is None else str(one.reference)) for one in found]


def test_settings_below_another_meta_are_found() -> None:
    meta = ImageMeta({"id": 5, "meta": {"prompt": "a fox", "cfgScale": 3.5, "resources": [{"name": "x"}]}})
    assert (meta.prompt, meta.cfg_scale, meta.resources[0].name) == ("a fox", 3.5, "x")
    assert dict(meta) == {"id": 5, "meta": {"prompt": "a fox", "cfgScale": 3.5, "resources": [{"name": "x"}]}}
    assert meta == ImageMeta(dict(meta)) and len(meta) == 2 and "prompt" in repr(meta)


@pytest.mark.parametrize("odd", [None, True, [], {}, "text", float("nan"), float("inf"), 1e400, "1e9999", "-", "٣"])
def test_odd_values_are_none_or_what_they_say(odd: object) -> None:
    names = ("prompt", "sampler", "seed", "steps", "cfgScale", "clipSkip", "Size", "Model hash", "hashes",
             "resources", "civitaiResources", "additionalResources")  # fmt: skip
    meta = ImageMeta(dict.fromkeys(names, odd))
    assert (meta.seed, meta.steps, meta.cfg_scale, meta.clip_skip, meta.size) == (None, None, None, None, None)
    assert (meta.model_hash, dict(meta.hashes), meta.models()) == (None, {}, ())


def test_numbers_in_strings_are_numbers() -> None:
    meta = ImageMeta({"Seed": "18446744073709551615", "Steps": 20.0, "CFG scale": "7.5", "Clip skip": "-2"})
    assert (meta.seed, meta.steps, meta.cfg_scale, meta.clip_skip) == (18446744073709551615, 20, 7.5, -2)


def test_civitais_own_resources_have_versions() -> None:
    resources = [
        {"type": "checkpoint", "modelVersionId": 128713, "modelVersionName": "8"},
        {"type": "lora", "weight": 0.6, "air": "urn:air:sd1:lora:civitai:58390@62833"},
    ]
    more = [{"name": "urn:air:sdxl:lora:civitai:7@8", "strength": 1, "strengthClip": 1}]
    meta = ImageMeta({"civitaiResources": resources, "additionalResources": more})
    assert [(one.type, str(one.reference), one.weight) for one in meta.models()] == [
        ("checkpoint", "civitai:@128713", None),
        ("lora", "civitai:58390@62833", 0.6),
        (None, "civitai:7@8", 1.0),
    ]


def test_hashes_of_every_length_are_references() -> None:
    sha256 = "ab" * 32
    resources = [{"type": kind, "name": kind, "hash": digits} for kind, digits in (
        ("model", "27EA8C02"), ("lora", "A1B2C3D4E5"), ("embed", "a1b2c3d4e5f6"), ("vae", sha256), ("x", "abc"),
        ("y", "not hexadecimal"),
    )]  # fmt: skip
    assert models(resources=resources) == [
        ("model", "model", "autov1:27ea8c02"),
        ("lora", "lora", "autov2:a1b2c3d4e5"),
        ("embed", "embed", "autov3:a1b2c3d4e5f6"),
        ("vae", "vae", f"sha256:{sha256}"),
        ("x", "x", None),
        ("y", "y", None),
    ]


def test_one_model_named_twice_appears_once() -> None:
    found = models(
        resources=[{"type": "model", "name": "mix", "hash": "27ea8c02"}, {"type": "lora", "name": "detail"}],
        hashes={"model": "27EA8C02", "lora:detail": "a1b2c3d4e5f6", "vae": ""},
        **{"Model": "mix", "Model hash": "27ea8c02"},
    )
    assert found == [
        ("model", "mix", "autov1:27ea8c02"), ("lora", "detail", None), ("lora", "detail", "autov3:a1b2c3d4e5f6"),
    ]  # fmt: skip
    both = ImageMeta({"civitaiResources": [{"type": "lora", "modelVersionId": 5}]}).models([5, 6])
    assert [one.version_id for one in both] == [5, 6]


def test_a_hostile_list_is_bounded() -> None:
    many = [{"type": "lora", "name": f"n{number}", "hash": f"{number:08x}"} for number in range(5000)]
    assert len(ImageMeta({"resources": many, "civitaiResources": many}).models(range(1, 5000))) == 500
    ids = [0, -1, 2**53, "x", None, 1.5]
    assert ImageMeta({"civitaiResources": [{"type": "lora", "modelVersionId": odd} for odd in ids]}).models() == ()


def test_kinds_in_the_words_of_images() -> None:
    kinds = ("model", "embed", "ti", "hypernet", "lora", "LoCon", "TextualInversion", "hologram", "")
    types = ["checkpoint", "embedding", "embedding", "hypernetwork", "lora", "lora", "embedding", None, None]
    assert [Resource(kind=kind.casefold()).type for kind in kinds] == types

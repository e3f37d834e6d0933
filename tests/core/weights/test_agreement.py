"""The words of a site beside a header: which counts, what is asked for, and what contradicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.reference import Reference
from synapse_sync.core.weights.agreement import base_of, contradiction, doubt_about, with_header, without_base
from synapse_sync.core.weights.identify import Weights

URL = Reference.parse("https://x.example/f")


def file(name: str = "f.safetensors", size: int = 10_000_000, role: str = "model") -> Artifact:
    ending = name.rpartition(".")[2]
    return Artifact(filename=name, size=size, sha256="a" * 64, url=URL, role=role,
                    format=ending if ending in ("safetensors", "gguf") else "config")  # fmt: skip


def model(type: str | None, base: str | None = None, *files: Artifact, name: str = "m") -> LockedModel:
    card = ModelCard(title="T", type=type, base_model=base)
    return LockedModel(name=name, requirement="r", reference=URL, card=card, artifacts=files or (file(),))


@pytest.mark.parametrize(
    ("locked", "doubtful"),
    [
        (model(None), True), (model("other"), True), (model("lora"), False), (model("vae"), False),
        (model("checkpoint", "SD 1.5"), False), (model("checkpoint", "Illustrious"), False),
        (model("checkpoint", "Flux.1 D"), True), (model("checkpoint", None), True), (model("checkpoint",
        "SVD"), True),
        (model("checkpoint", "Flux.1 D", file("f.gguf")), False),
        (model("checkpoint", "Flux.1 D", file(role="diffusion_model")), False),
        (model("lora", "SD 1.5", file(size=2_000_000_000)), True),
        (model("lora", "SD 1.5", file(size=900_000_000)), False),
        (model("embedding", None, file(size=60_000_000)), True),
        (model(None, None, file("a.safetensors"), file("b.safetensors")), False),
        (model(None, None, file("a.safetensors"), file("config.json")), True),
        (model(None, None, file("w-00001-of-00002.safetensors"), file("w-00002-of-00002.safetensors")), True),
        (model(None, None, file("x.json")), False),
    ],
)  # fmt: skip
def test_a_header_is_needed_where_nothing_else_says_it(locked: LockedModel, doubtful: bool) -> None:
    assert (doubt_about(locked) is not None) is doubtful


def test_only_what_a_layout_keeps_apart_is_needed() -> None:
    doubt = doubt_about(model("checkpoint", "Flux.1 D"))
    assert doubt is not None and doubt.kinds == ("checkpoint", "diffusion_model")
    doubt = doubt_about(model("lora", "SD 1.5", file(size=2_000_000_000)))
    assert doubt is not None and doubt.kinds == (), "every model needs it"


def test_the_header_decides_where_the_site_says_less() -> None:
    locked = model(None)
    found, warning = with_header(locked, locked.artifacts[0], Weights(kind="loha", family="SDXL"))
    assert (found.card.type, warning) == ("lora", None)
    locked = model("checkpoint")
    found, warning = with_header(locked, locked.artifacts[0], Weights(kind="diffusion_model"))
    assert (found.card.type, found.artifacts[0].role, warning) == ("checkpoint", "diffusion_model", None)
    assert with_header(locked, locked.artifacts[0], Weights()) == (locked, None)
    assert with_header(locked, locked.artifacts[0], Weights(kind="checkpoint")) == (locked, None)


def test_a_contradiction_names_both_facts() -> None:
    locked = model("lora", "SD 1.5", file(size=2_132_000_000))
    found, warning = with_header(locked, locked.artifacts[0], Weights(kind="checkpoint", family="SD1.x"))
    assert found == locked, "the site's word is followed until the user decides"
    assert warning is not None
    assert "the site says LoRA" in warning and "is a checkpoint (SD1.x)" in warning and "2.1 GB" in warning
    said = contradiction(locked, locked.artifacts[0], Weights(kind="embedding"), typed=True)
    assert said is not None and "synapse.toml says LoRA" in said and "an embedding" in said
    assert contradiction(locked, locked.artifacts[0], Weights(kind="dora"), typed=True) is None
    assert contradiction(model("other"), file(), Weights(kind="vae"), typed=True) is None
    assert contradiction(model("checkpoint"), file(), Weights(kind="diffusion_model"), typed=True) is None


def test_a_site_that_names_another_base_than_the_header() -> None:
    locked = model("lora", "SD 1.5")
    said = contradiction(locked, locked.artifacts[0], Weights(kind="lora", family="SDXL"), typed=True)
    assert said is not None and "the site says that it is for SD 1.5" in said and "is for SDXL" in said
    for base, family in (
        ("Pony", "SDXL"),
        ("Chroma", "Flux.1"),
        ("Other", "SDXL"),
        (None, "SDXL"),
        ("SD 1.5", None),
    ):
        locked = model("lora", base)
        assert contradiction(locked, locked.artifacts[0], Weights(kind="lora", family=family), typed=False) is None
    locked = model("vae", "SD 1.5")
    assert contradiction(locked, locked.artifacts[0], Weights(kind="vae", family="SDXL"), typed=False) is None


def test_a_header_says_precision_and_base_where_the_site_does_not() -> None:
    weights = Weights(kind="checkpoint", family="SDXL", bases=("SDXL 1.0 base",), precision="fp16")
    locked = model(None)
    found, _ = with_header(locked, locked.artifacts[0], weights)
    assert (found.card.base_model, found.artifacts[0].precision) == ("SDXL 1.0 base", "fp16")
    locked = model("checkpoint", "Pony", replace(file(), precision="bf16"))
    found, warning = with_header(locked, locked.artifacts[0], weights)
    assert (found, warning) == (locked, None), "the site's words stay"
    several = Weights(kind="lora", family="SD1.x", bases=("Stable Diffusion 1.4", "Stable Diffusion 1.5"))
    assert base_of(several) == "SD 1.x"
    assert base_of(Weights(kind="vae", family="kl-f8", bases=("SDXL",))) is None


def test_adapters_for_other_bases() -> None:
    sd, xl = model("checkpoint", "SD 1.5", name="dream"), model("checkpoint", "Pony", name="pony")
    lora = model("lora", "SDXL 1.0", name="l")
    (note,) = without_base(["l"], [sd, lora], {})
    assert "`l` is for SDXL 1.0" in note and "`dream` is for SD 1.5" in note
    assert without_base(["l"], [sd, xl, lora], {}) == [], "one of them fits"
    assert without_base(["l"], [lora], {}) == [], "no checkpoint is declared"
    assert without_base(["dream"], [sd, lora], {}) == [], "said once, when it is new"
    unknown = model("checkpoint", None, name="u")
    assert without_base(["l"], [sd, unknown, lora], {}) == [], "it may be the one"
    assert len(without_base(["l"], [unknown, lora], {"u": Weights(family="SD1.x")})) == 1
    plain = replace(lora, card=replace(lora.card, base_model=None))
    assert without_base(["l"], [sd, plain], {}) == []
    (note,) = without_base(["l"], [sd, plain], {"l": Weights(family="Flux.1")})
    assert "`l` is for Flux.1" in note

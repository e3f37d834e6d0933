"""Adapters: the modules that they change, and the sizes of the weights behind their factors."""

from __future__ import annotations

import pytest
from model_headers import Tensors

from synapse_sync.core.weights.adapter import base_of, read_adapter


@pytest.mark.parametrize(
    ("tensors", "kind", "sizes"),
    [
        ({"lora_unet_a_b.lora_down.weight": ("F16", (4, 32)), "lora_unet_a_b.lora_up.weight": ("F16", (64,
        4))}, "lora", (64, 32)),
        ({"transformer.a.b.lora_A.default.weight": ("F16", (4, 32)),
        "transformer.a.b.lora_B.default.weight": ("F16", (64, 4))}, "lora", (64, 32)),
        ({"unet.a.b.processor.to_q_lora.down.weight": ("F16", (4, 32))}, "lora", None),
        ({"lora_unet_a_b.hada_w1_a": ("F16", (64, 4)), "lora_unet_a_b.hada_w1_b": ("F16", (4, 32))}, "loha",
        (64, 32)),
        ({"lora_unet_a_b.lokr_w1": ("F16", (8, 4)), "lora_unet_a_b.lokr_w2": ("F16", (8, 8))}, "lokr", (64, 32)),
        ({"lora_unet_a_b.lokr_w1_a": ("F16", (8, 2)), "lora_unet_a_b.lokr_w1_b": ("F16", (2, 4)),
        "lora_unet_a_b.lokr_w2": ("F16", (8, 8))}, "lokr", (64, 32)),
        ({"lora_unet_a_b.oft_blocks": ("F16", (8, 8, 8))}, "oft", (64, 0)),
        ({"diffusion_model.a.b.diff": ("F16", (64, 32))}, "full", (64, 32)),
        ({"lora_unet_a_b.lora_down.weight": ("F16", (4, 32, 3, 3)), "lora_unet_a_b.lora_up.weight": ("F16",
        (64, 4, 1, 1))}, "locon", (64, 32)),
        ({"lora_unet_a_b.lora_down.weight": ("F16", (4, 32)), "lora_unet_a_b.dora_scale": ("F16", (64, 1))},
        "dora", (0, 32)),
        ({"lora_unet_a_b.alpha": ("F16", ())}, None, (0, 0)),
    ],
)  # fmt: skip
def test_sizes(tensors: Tensors, kind: str | None, sizes: tuple[int, int] | None) -> None:
    found = read_adapter(tensors)
    assert found.kind == kind
    assert found.share == 1.0
    if sizes is not None:
        tensor = found.joined.tensor("a_b")
        assert tensor is not None
        assert tensor[1] == sizes


def test_text_encoders_apart() -> None:
    name = "text_model_encoder_layers_0_mlp_fc1"
    for prefix, family in (("lora_te_", "SD1.x"), ("lora_te2_", "SDXL"), ("lora_te1_", None)):
        width = 1280 if family == "SDXL" else 768
        found = read_adapter({f"{prefix}{name}.lora_down.weight": ("F16", (4, width))})
        assert len(found.joined) == 0
        match = base_of(found)
        assert (match.rule.family if match is not None else None) == family


def test_a_few_adapters_in_a_model_make_no_adapter() -> None:
    tensors: Tensors = {f"blocks.{n}.weight": ("F16", (2, 2)) for n in range(9)}
    assert read_adapter({**tensors, "x.lora_A.weight": ("F16", (2, 2))}).share == 0.1

"""The precision of a file, plain or quantised, by types and by the names beside the weights."""

from __future__ import annotations

import pytest
from model_headers import Tensors, header

from synapse_sync.core.weights.precision import precision_of

BIG, SMALL = (100, 100), (2, 2)


@pytest.mark.parametrize(
    ("tensors", "word"),
    [
        ({}, None),
        ({"a": ("F16", BIG)}, "fp16"),
        ({"a": ("BF16", BIG), "b": ("F32", SMALL)}, "bf16"),
        ({"a": ("BF16", BIG), "b": ("F32", BIG), "c": ("BF16", SMALL)}, "mixed bf16/fp32"),
        ({"a": ("F8_E4M3", BIG), "b": ("BF16", SMALL)}, "fp8_e4m3fn"),
        ({"a": ("F8_E5M2", BIG)}, "fp8_e5m2"),
        ({"a.weight": ("F8_E4M3", BIG), "a.scale_weight": ("F32", ()), "scaled_fp8": ("F8_E4M3", (2,))},
        "fp8_e4m3fn scaled"),
        ({"a.weight": ("F8_E4M3", BIG), "a.weight_scale": ("F32", ()), "a.comfy_quant": ("U8", (30,))},
        "fp8_e4m3fn (comfy_quant)"),
        ({"a.weight": ("U8", BIG), "a.weight.quant_state.bitsandbytes__nf4": ("U8", (70,))}, "nf4"),
        ({"a.qweight": ("I8", BIG), "a.wscales": ("BF16", BIG)}, "svdquant-int4"),
        ({"a.qweight": ("I8", BIG), "a.wscales": ("BF16", BIG), "a.wcscales": ("BF16", SMALL)}, "svdquant-fp4"),
        ({"a.weight": ("U8", BIG), "a.weight_scale_2": ("F32", ())}, "nvfp4"),
        ({"model.diffusion_model.a": ("F16", BIG), "first_stage_model.b": ("F32", BIG)}, "fp16, rest fp32"),
        ({"model.diffusion_model.a": ("BF16", BIG), "first_stage_model.b": ("F16", BIG)}, "bf16"),
        ({"a": ("F99", BIG)}, None),
    ],
)  # fmt: skip
def test_safetensors(tensors: Tensors, word: str | None) -> None:
    assert precision_of(header(tensors)) == word


def test_gguf() -> None:
    tensors: Tensors = {"a": ("Q4_K", BIG), "b": ("F32", (500, 500)), "c": ("Q6_K", SMALL)}
    assert precision_of(header(tensors, {"general.file_type": "14"}, "gguf")) == "gguf Q4_K_S"
    assert precision_of(header(tensors, {"general.file_type": "9999"}, "gguf")) == "gguf Q4_K"
    assert precision_of(header({"a": ("F16", BIG)}, None, "gguf")) == "gguf F16"
    assert precision_of(header({}, None, "gguf")) is None

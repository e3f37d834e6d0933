"""The precision of a file: the type that holds most of the data, and how it was quantised."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from synapse_sync.core.weights.header import Header, Tensor

_WORDS = {
    "F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8_e4m3fn", "F8_E5M2": "fp8_e5m2",
    "F8_E4M3FNUZ": "fp8_e4m3fnuz", "F8_E5M2FNUZ": "fp8_e5m2fnuz", "F8_E8M0": "fp8_e8m0", "F4": "fp4", "I8": "int8",
    "F6_E2M3": "fp6", "F6_E3M2": "fp6",
}  # fmt: skip
#: The names of a checkpoint's diffusion model begin like this.
_MODEL = ("model.diffusion_model.", "model.model.")
#: The types in which a model is trained; a file may hold some tensors in one and some in another.
_PLAIN = frozenset({"F64", "F32", "F16", "BF16"})
#: A second plain type is named if it holds at least this share of the values.
_SHARE = 0.05
#: `general.file_type` of GGUF (llama.h, `llama_ftype`).
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip
_GGUF_PLAIN = frozenset({"F32", "F16", "BF16", "F64"})
#: Ends of names that a way to quantise adds to a tensor's name, with its word.
_MARKS = (
    (".comfy_quant", "(comfy_quant)"), (".scale_weight", "scaled"), (".weight_scale", "scaled"),
    (".scaled_fp8", "scaled"),
)  # fmt: skip


def precision_of(header: Header) -> str | None:
    """The precision of a file in a word or two ("fp16", "fp8_e4m3fn scaled", "gguf Q4_K_S"); None without tensors.

    A checkpoint has the precision of its diffusion model; a rest of twice its width is named as well.
    """
    if header.format == "gguf":
        return _gguf(header)
    model = {name: tensor for name, tensor in header.tensors.items() if name.startswith(_MODEL)}
    word = _precision(model or header.tensors)
    rest = {name: tensor for name, tensor in header.tensors.items() if name not in model} if model else {}
    return f"{word}, rest fp32" if _precision(rest) == "fp32" and word in ("fp16", "bf16") else word


def _precision(names: Mapping[str, Tensor]) -> str | None:
    if packed := _packed(names):
        return packed
    values = _values(names.values())
    if not values:
        return None
    main = max(values, key=lambda dtype: (values[dtype], dtype))
    word = _WORDS.get(main, main.lower())
    if main in _PLAIN:
        total = sum(values[dtype] for dtype in values if dtype in _PLAIN)
        others = [dtype for dtype in sorted(_PLAIN) if dtype != main and values.get(dtype, 0) > _SHARE * total]
        return f"mixed {'/'.join([word, *(_WORDS[dtype] for dtype in others)])}" if others else word
    marks = [mark for end, mark in _MARKS if any(name.endswith(end) for name in names)]
    if "scaled_fp8" in names or any(name.endswith(".scaled_fp8") for name in names):
        marks = ["scaled"]
    return f"{word} {marks[0]}" if marks else word


def _packed(names: Iterable[str]) -> str | None:
    """The way in which several values were packed into one, by the names beside the weights."""
    for name in names:
        if name.endswith("bitsandbytes__nf4"):
            return "nf4"
        if name.endswith("bitsandbytes__fp4"):
            return "fp4"
        if name.endswith((".wscales", ".smooth_factor")):
            return "svdquant-fp4" if _is_fp4(names) else "svdquant-int4"
        if name.endswith(".weight_scale_2"):
            return "nvfp4"
        if name.endswith((".qzeros", ".g_idx")):
            return "int4"
    return None


def _is_fp4(names: Iterable[str]) -> bool:
    # nunchaku's FP4 adds a scale to each tensor or channel.
    return any(name.endswith((".wcscales", ".wtscale")) for name in names)


def _values(tensors: Iterable[Tensor]) -> dict[str, int]:
    """How many values each type of numbers holds."""
    found: dict[str, int] = {}
    for dtype, shape in tensors:
        if dtype in _WORDS:
            found[dtype] = found.get(dtype, 0) + math.prod(shape)
    return {dtype: count for dtype, count in found.items() if count}


def _gguf(header: Header) -> str | None:
    number = header.metadata.get("general.file_type", "")
    if number.isdigit() and int(number) in _FILE_TYPES:
        return f"gguf {_FILE_TYPES[int(number)]}"
    values: dict[str, int] = {}
    for dtype, shape in header.tensors.values():
        values[dtype] = values.get(dtype, 0) + math.prod(shape)
    packed = {dtype: count for dtype, count in values.items() if dtype not in _GGUF_PLAIN} or values
    return f"gguf {max(packed, key=lambda dtype: (packed[dtype], dtype))}" if packed else None

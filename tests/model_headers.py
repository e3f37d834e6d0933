"""Headers of models, built from their published sizes, with the names of the programs that write such files.

LDM's U-Net and autoencoder: CompVis/stable-diffusion, `openaimodel.py` and `model.py`. Flux: `model.py` of
black-forest-labs/flux. Wan: `model.py` of Wan-Video/Wan2.1. CLIP and T5: transformers. LoRA: kohya-ss/sd-scripts,
PEFT, LyCORIS.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from synapse_sync.core.weights.header import Header, Tensor

Tensors = dict[str, Tensor]


def header(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None, format: str = "safetensors"
) -> Header:
    return Header(format, dict(tensors), dict(metadata or {}))


_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1}


def beginning(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> tuple[bytes, int]:
    """The header of a safetensors file as bytes, and the size of the whole file."""
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        end = at + math.prod(shape) * _BYTES[dtype]
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    raw = json.dumps(table).encode()
    return struct.pack("<Q", len(raw)) + raw, 8 + len(raw) + at


def write_model(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Path:
    """Write a whole file whose data are a hole: it is as long as the model, and takes a few kilobytes."""
    data, size = beginning(tensors, metadata)
    with path.open("wb") as file:
        file.write(data)
        file.truncate(size)
    return path


def linear(name: str, out: int, into: int, dtype: str = "F16", bias: bool = True) -> Tensors:
    return {f"{name}.weight": (dtype, (out, into))} | ({f"{name}.bias": (dtype, (out,))} if bias else {})


def conv(name: str, out: int, into: int, width: int = 3, dtype: str = "F16") -> Tensors:
    return {f"{name}.weight": (dtype, (out, into, width, width)), f"{name}.bias": (dtype, (out,))}


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def unet(
    text: int, depths: Sequence[int] = (1, 1, 1, 0), inputs: int = 4, extra: int | None = None, width: int = 320
) -> Tensors:
    """An LDM U-Net: `depths` are the transformer blocks at each resolution."""
    found = conv("input_blocks.0.0", width, inputs) | conv("out.2", 4, width)
    found |= linear("time_embed.0", 4 * width, width) | linear("time_embed.2", 4 * width, 4 * width)
    if extra is not None:
        found |= linear("label_emb.0.0", 4 * width, extra) | linear("label_emb.0.2", 4 * width, 4 * width)
    number = 1
    for level, depth in enumerate(depths):
        channels = width * min(2**level, 4)
        for _ in range(2):
            for side in ("input_blocks", "output_blocks"):
                found |= conv(f"{side}.{number}.0.in_layers.2", channels, channels)
                found |= _attention(f"{side}.{number}.1", channels, text, depth)
            number += 1
        if level + 1 < len(depths):
            found |= conv(f"input_blocks.{number}.0.op", channels, channels)
            number += 1
    found |= conv("middle_block.0.in_layers.2", 4 * width, 4 * width)
    return found | _attention("middle_block.1", 4 * width, text, max(depths))


def _attention(name: str, channels: int, text: int, depth: int) -> Tensors:
    found: Tensors = {}
    for block in range(depth):
        one = f"{name}.transformer_blocks.{block}"
        for which, into in (("attn1", channels), ("attn2", text)):
            found |= linear(f"{one}.{which}.to_q", channels, channels, bias=False)
            found |= linear(f"{one}.{which}.to_k", channels, into, bias=False)
            found |= linear(f"{one}.{which}.to_v", channels, into, bias=False)
            found |= linear(f"{one}.{which}.to_out.0", channels, channels)
        found |= linear(f"{one}.ff.net.0.proj", 8 * channels, channels) | linear(
            f"{one}.ff.net.2", channels, 4 * channels
        )
    return found | (linear(f"{name}.proj_in", channels, channels) if depth else {})


def diffusers_unet(text: int, inputs: int = 4) -> Tensors:
    found = conv("conv_in", 320, inputs) | linear("time_embedding.linear_1", 1280, 320)
    for block in range(3):
        found |= conv(f"down_blocks.{block}.resnets.0.conv1", 320, 320)
        found |= _attention(f"down_blocks.{block}.attentions.0", 320, text, 1)
        found |= _attention(f"up_blocks.{block}.attentions.0", 320, text, 1)
    return found | _attention("mid_block.attentions.0", 1280, text, 1)


def autoencoder(latent: int, quantised: bool = True, dtype: str = "F32") -> Tensors:
    """An LDM autoencoder, of four resolutions."""
    found = conv("decoder.conv_in", 512, latent, dtype=dtype) | conv("encoder.conv_in", 128, 3, dtype=dtype)
    found |= conv("encoder.conv_out", 2 * latent, 512, dtype=dtype) | conv("decoder.conv_out", 3, 128, dtype=dtype)
    for side in ("decoder.up", "encoder.down"):
        for level in range(4):
            found |= conv(f"{side}.{level}.block.0.conv1", 128, 128, dtype=dtype)
    for side in ("decoder", "encoder"):
        found |= conv(f"{side}.mid.block_1.conv1", 512, 512, dtype=dtype)
    found |= conv("encoder.down.2.downsample.conv", 512, 512, dtype=dtype) | conv(
        "decoder.up.3.upsample.conv", 512, 512
    )
    if quantised:
        found |= conv("quant_conv", 2 * latent, 2 * latent, 1, dtype) | conv(
            "post_quant_conv", latent, latent, 1, dtype
        )
    return found


def flux(dtype: str = "BF16", inputs: int = 64, guided: bool = True, width: int = 3072) -> Tensors:
    found = linear("img_in", width, inputs, dtype) | linear("txt_in", width, 4096, dtype)
    found |= linear("time_in.in_layer", width, 256, dtype) | linear("vector_in.in_layer", width, 768, dtype)
    found |= linear("final_layer.linear", 64, width, dtype)
    if guided:
        found |= linear("guidance_in.in_layer", width, 256, dtype)
    for block in range(19):
        for side in ("img", "txt"):
            one = f"double_blocks.{block}.{side}"
            found |= linear(f"{one}_attn.qkv", 3 * width, width, dtype) | linear(
                f"{one}_attn.proj", width, width, dtype
            )
            found |= linear(f"{one}_mod.lin", 6 * width, width, dtype)
            found |= linear(f"{one}_mlp.0", 4 * width, width, dtype) | linear(
                f"{one}_mlp.2", width, 4 * width, dtype
            )
            found |= {f"{one}_attn.norm.{which}_norm.scale": (dtype, (128,)) for which in ("query", "key")}
    for block in range(38):
        one = f"single_blocks.{block}"
        found |= linear(f"{one}.linear1", 7 * width, width, dtype) | linear(
            f"{one}.linear2", width, 5 * width, dtype
        )
        found |= linear(f"{one}.modulation.lin", 3 * width, width, dtype)
        found |= {f"{one}.norm.{which}_norm.scale": (dtype, (128,)) for which in ("query", "key")}
    return found


def wan(width: int, inputs: int, outputs: int = 16, image: bool = False, blocks: int = 40) -> Tensors:
    found: Tensors = {
        "patch_embedding.weight": ("BF16", (width, inputs, 1, 2, 2)),
        "head.modulation": ("BF16", (1, 2, width)),
    }
    found |= linear("head.head", 4 * outputs, width, "BF16") | linear("text_embedding.0", width, 4096, "BF16")
    for block in range(blocks):
        one = f"blocks.{block}"
        for which in ("self_attn", "cross_attn"):
            for part in "qkvo":
                found |= linear(f"{one}.{which}.{part}", width, width, "BF16")
            found |= {f"{one}.{which}.norm_{part}.weight": ("BF16", (width,)) for part in "qk"}
        if image:
            found |= linear(f"{one}.cross_attn.k_img", width, width, "BF16")
        found |= linear(f"{one}.ffn.0", 4 * width, width, "BF16") | linear(f"{one}.ffn.2", width, 4 * width, "BF16")
        found[f"{one}.modulation"] = ("BF16", (1, 6, width))
    return found | (linear("img_emb.proj.1", 1280, 1280, "BF16") if image else {})


def clip_text(width: int, layers: int) -> Tensors:
    found: Tensors = {"text_model.embeddings.token_embedding.weight": ("F16", (49408, width))}
    for layer in range(layers):
        one = f"text_model.encoder.layers.{layer}"
        found |= linear(f"{one}.mlp.fc1", 4 * width, width) | linear(f"{one}.self_attn.q_proj", width, width)
        found[f"{one}.layer_norm1.weight"] = ("F16", (width,))
    return found


def t5(width: int, words: int, blocks: int = 24, gated: bool = True, everywhere: bool = False) -> Tensors:
    found: Tensors = {
        "shared.weight": ("F16", (words, width)),
        "encoder.final_layer_norm.weight": ("F16", (width,)),
    }
    for block in range(blocks):
        one = f"encoder.block.{block}"
        found |= linear(f"{one}.layer.0.SelfAttention.q", width, width, bias=False)
        found[f"{one}.layer.0.layer_norm.weight"] = ("F16", (width,))
        for part in ("wi_0", "wi_1") if gated else ("wi",):
            found |= linear(f"{one}.layer.1.DenseReluDense.{part}", 3 * width, width, bias=False)
        if everywhere or block == 0:
            found[f"{one}.layer.0.SelfAttention.relative_attention_bias.weight"] = ("F16", (32, 64))
    return found


def llama(width: int, layers: int, words: int, keys: int = 1024) -> Tensors:
    found: Tensors = {
        "model.embed_tokens.weight": ("BF16", (words, width)),
        "model.norm.weight": ("BF16", (width,)),
    }
    for layer in range(layers):
        one = f"model.layers.{layer}"
        found |= linear(f"{one}.self_attn.q_proj", width, width, "BF16", bias=False)
        found |= linear(f"{one}.self_attn.k_proj", keys, width, "BF16", bias=False)
        found |= {f"{one}.{norm}_layernorm.weight": ("BF16", (width,)) for norm in ("input", "post_attention")}
    return found


def vision(width: int, layers: int, places: int = 257) -> Tensors:
    found: Tensors = {"vision_model.embeddings.position_embedding.weight": ("F16", (places, width))}
    for layer in range(layers):
        found[f"vision_model.encoder.layers.{layer}.layer_norm1.weight"] = ("F16", (width,))
    return found


#: The modules that trainers of each family choose, by their dotted names, with the sizes (out, in).
MODULES: dict[str, dict[str, tuple[int, int]]] = {
    "SD1.x": {
        f"down_blocks.{block}.attentions.0.transformer_blocks.0.{name}": (320, into)
        for block in (0, 1, 2) for name, into in (("attn1.to_q", 320), ("attn2.to_k", 768), ("attn2.to_v", 768))
    },
    "SD2.x": {
        f"down_blocks.{block}.attentions.0.transformer_blocks.0.{name}": (320, into)
        for block in (0, 1, 2) for name, into in (("attn1.to_q", 320), ("attn2.to_k", 1024), ("attn2.to_v", 1024))
    },
    "SDXL": {
        f"down_blocks.2.attentions.0.transformer_blocks.{block}.{name}": (1280, into)
        for block in range(10) for name, into in (("attn1.to_q", 1280), ("attn2.to_k", 2048), ("attn2.to_v", 2048))
    },
    "SD3": {f"transformer_blocks.{block}.attn.{name}": (2432, 2432) for block in range(38) for name in ("to_q",
    "to_k")},
    "Flux.1": {
        f"{name}.{block}.{module}": size
        for name, count, modules in (
            ("transformer_blocks", 19, {"attn.add_k_proj": (3072, 3072), "ff_context.net.0.proj": (12288, 3072)}),
            ("single_transformer_blocks", 38, {"attn.to_q": (3072, 3072), "norm.linear": (9216, 3072)}),
        )
        for block in range(count) for module, size in modules.items()
    },
    "Flux.2": {
        f"single_transformer_blocks.{block}.attn.to_qkv_mlp_proj": (55296, 6144) for block in range(48)
    },
    "Qwen-Image": {
        f"transformer_blocks.{block}.{name}": (3072, 3072) for block in range(60)
        for name in ("attn.to_q", "img_mlp.net.2")
    },
    "HunyuanVideo": {
        f"{name}.{block}.{module}": (9216, 3072)
        for name, count, module in (("double_blocks", 20, "img_attn_qkv"), ("single_blocks", 40, "linear1"))
        for block in range(count)
    },
    "Wan2.1/2.2": {f"blocks.{block}.self_attn.{part}": (5120, 5120) for block in range(40) for part in "qkv"},
    "Z-Image": {f"layers.{block}.attention.to_q": (3840, 3840) for block in range(30)},
    "Lumina2": {f"layers.{block}.attention.qkv": (3840, 2304) for block in range(26)},
    "LTXV": {f"transformer_blocks.{block}.attn1.to_q": (2048, 2048) for block in range(28)},
    "HiDream": {f"double_stream_blocks.{block}.block.attn1.to_q": (2560, 2560) for block in range(16)},
}  # fmt: skip


def kohya(modules: Mapping[str, tuple[int, int]], rank: int = 8) -> Tensors:
    found: Tensors = {}
    for name, (out, into) in modules.items():
        one = f"lora_unet_{name.replace('.', '_')}"
        found |= {
            f"{one}.alpha": ("F16", ()), f"{one}.lora_down.weight": ("F16", (rank, into)),
            f"{one}.lora_up.weight": ("F16", (out, rank)),
        }  # fmt: skip
    return found


def peft(modules: Mapping[str, tuple[int, int]], prefix: str = "transformer.", rank: int = 8) -> Tensors:
    found: Tensors = {}
    for name, (out, into) in modules.items():
        found[f"{prefix}{name}.lora_A.weight"] = ("BF16", (rank, into))
        found[f"{prefix}{name}.lora_B.weight"] = ("BF16", (out, rank))
    return found


def loha(modules: Mapping[str, tuple[int, int]], rank: int = 4) -> Tensors:
    found: Tensors = {}
    for name, (out, into) in modules.items():
        for which in ("w1", "w2"):
            found[f"lycoris_{name.replace('.', '_')}.hada_{which}_a"] = ("F16", (out, rank))
            found[f"lycoris_{name.replace('.', '_')}.hada_{which}_b"] = ("F16", (rank, into))
    return found


def lokr(modules: Mapping[str, tuple[int, int]], factor: int = 8) -> Tensors:
    found: Tensors = {}
    for name, (out, into) in modules.items():
        one = f"lora_unet_{name.replace('.', '_')}"
        found |= {
            f"{one}.lokr_w1": ("F16", (factor, factor)), f"{one}.lokr_w2_a": ("F16", (out // factor, 4)),
            f"{one}.lokr_w2_b": ("F16", (4, into // factor)),
        }  # fmt: skip
    return found

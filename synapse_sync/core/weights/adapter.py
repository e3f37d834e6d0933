"""LoRA and its kin: which kind of adapter a file holds, and for which model, by the modules that it changes.

Trainers join the parts of a module's name by `_` (kohya, OneTrainer, LyCORIS) or by `.` (PEFT, diffusers, ComfyUI).
Names are compared in the first form, which the second one can be brought to, but not the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.weights.header import Tensor
from synapse_sync.core.weights.rule import Match, View, first, rows

_COMFY = "ComfyUI comfy/lora.py and comfy/weight_adapter"
_INVOKE = "InvokeAI model_manager/configs/lora.py"

#: The ends of names, with the kind of adapter, and which part of its module's weight the tensor is.
_ENDS = {
    ".lora_magnitude_vector.default.weight": ("dora", ""), ".lora_magnitude_vector.weight": ("dora", ""),
    ".lora_magnitude_vector": ("dora", ""), ".weight_magnitude": ("dora", ""), ".dora_scale": ("dora", ""),
    ".lora_A.default.weight": ("lora", "in"), ".lora_B.default.weight": ("lora", "out"),
    ".lora_A.weight": ("lora", "in"), ".lora_B.weight": ("lora", "out"),
    ".lora_A": ("lora", "in"), ".lora_B": ("lora", "out"),
    ".lora_down.weight": ("lora", "in"), ".lora_up.weight": ("lora", "out"), ".lora_mid.weight": ("locon", ""),
    ".lora_linear_layer.down.weight": ("lora", "in"), ".lora_linear_layer.up.weight": ("lora", "out"),
    ".lora.down.weight": ("lora", "in"), ".lora.up.weight": ("lora", "out"),
    "_lora.down.weight": ("lora", "in"), "_lora.up.weight": ("lora", "out"),
    "_lora1.down.weight": ("lora", "in"), "_lora1.up.weight": ("lora", "out"),
    "_lora2.down.weight": ("lora", "in"), "_lora2.up.weight": ("lora", "out"),
    ".hada_w1_a": ("loha", "out"), ".hada_w1_b": ("loha", "in"), ".hada_w2_a": ("loha", ""),
    ".hada_w2_b": ("loha", ""), ".hada_t1": ("loha", ""), ".hada_t2": ("loha", ""),
    ".lokr_w1": ("lokr", "w1"), ".lokr_w1_a": ("lokr", "w1a"), ".lokr_w1_b": ("lokr", "w1b"),
    ".lokr_w2": ("lokr", "w2"), ".lokr_w2_a": ("lokr", "w2a"), ".lokr_w2_b": ("lokr", "w2b"),
    ".lokr_t2": ("lokr", ""),
    ".oft_blocks": ("oft", "blocks"), ".oft_diag": ("oft", "blocks"), ".oft_R.weight": ("oft", ""),
    ".oft_R": ("oft", ""),
    ".a1.weight": ("glora", ""), ".a2.weight": ("glora", "in"), ".b1.weight": ("glora", "out"),
    ".b2.weight": ("glora", ""),
    ".diff": ("full", "weight"), ".set_weight": ("full", "weight"), ".diff_b": ("", ""), ".w_norm": ("", ""),
    ".b_norm": ("", ""), ".alpha": ("", ""), ".rescale": ("", ""), ".on_input": ("ia3", ""),
    ".reshape_weight": ("", ""),
}  # fmt: skip
_UNDERSCORED = tuple(end for end in _ENDS if end.startswith("_"))
_MOST_ENDS = 4  # parts of the longest end
#: Wrappers around the name of a module. The first match is cut off, again and again.
_WRAPPERS = (
    "base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "unet.", "prior.", "model.",
    "dit.", "module.", "lora_unet__", "lora_unet_", "lora_transformer_", "lora_prior_unet_", "lycoris_", "lora_",
    "oft_unet_",
)  # fmt: skip
_TEXT = re.compile(
    r"(?:base_model\.model\.)?(?:lora_prior_te|lora_te|oft_te|text_encoders?|te)(?P<number>[_.]?\d?)(?=[_.])[_.]"
    r"(?:(?:clip_l|clip_g|clip_h|t5xxl|umt5xxl|transformer)[_.])*(?P<module>.*)\Z"
)


@dataclass(frozen=True, slots=True)
class Adapter:
    """The modules that an adapter changes: `joined` those of the diffusion model, `texts` by text encoder.

    `kind` is "lora", "locon", "loha", "lokr", "dora", "oft", "glora", "ia3" or "full"; `share` is the part of the
    file's tensors that belong to an adapter, from 0 to 1.
    """

    kind: str | None
    share: float
    joined: View
    texts: Mapping[str, View]


def read_adapter(tensors: Mapping[str, Tensor]) -> Adapter:
    """Collect the modules that adapters in a file change, with the sizes of their weights (out, in)."""
    parts: dict[str, dict[str, Tensor]] = {}
    kinds: dict[str, int] = {}
    known = 0
    for name, tensor in tensors.items():
        end = _end(name)
        if end is None:
            continue
        known += 1
        kind, part = _ENDS[end]
        kinds[kind] = kinds.get(kind, 0) + 1
        parts.setdefault(name[: -len(end)], {})[part or end] = tensor
    modules = {name: _weight(found) for name, found in parts.items()}
    model, texts = _split(modules)
    joined = View(((_joined(name), tensor) for name, tensor in model), "_")
    return Adapter(
        _kind(kinds, parts, joined),
        known / len(tensors) if tensors else 0.0,
        joined,
        {number: View(((_joined(name), tensor) for name, tensor in found), "_") for number, found in texts.items()},
    )


def _end(name: str) -> str | None:
    """The longest known end of a name."""
    at, found = len(name), None
    for _ in range(_MOST_ENDS):
        at = name.rfind(".", 0, at)
        if at < 0:
            break
        if name[at:] in _ENDS:
            found = name[at:]
    if found is None and name.endswith(_UNDERSCORED):  # `to_q_lora.down` of early diffusers belongs to `to_q`
        found = next(end for end in _UNDERSCORED if name.endswith(end))
    return found


def _kind(kinds: Mapping[str, int], parts: Mapping[str, Mapping[str, Tensor]], joined: View) -> str | None:
    for kind in ("dora", "loha", "lokr", "oft", "glora", "ia3"):
        if kinds.get(kind):
            return kind
    if kinds.get("lora"):
        downs = (found["in"][1] for found in parts.values() if "in" in found)
        wide = any(len(shape) == 4 and shape[2:] != (1, 1) for shape in downs)
        named = joined.has("down_blocks_#_resnets_#_conv1") or joined.has("input_blocks_#_#_in_layers")
        return "locon" if wide or named or kinds.get("locon") else "lora"
    return "full" if kinds.get("full") else None


def _weight(found: Mapping[str, Tensor]) -> Tensor:
    """The sizes (out, in) of the weight that an adapter changes; 0 where they are unknown."""
    if (whole := found.get("weight")) is not None:
        return ("F32", whole[1])
    down, up = found.get("in"), found.get("out")
    if down is not None or up is not None:
        return ("F32", (_size(up, 0), _in(down)))
    if (blocks := found.get("blocks")) is not None and len(blocks[1]) >= 3:
        return ("F32", (blocks[1][0] * blocks[1][1], 0))
    first = found.get("w1") or _product(found.get("w1a"), found.get("w1b"))
    second = found.get("w2") or _product(found.get("w2a"), found.get("w2b"))
    if first is not None and second is not None and min(len(first[1]), len(second[1])) >= 2:
        return ("F32", (first[1][0] * second[1][0], first[1][1] * second[1][1]))
    return ("F32", (0, 0))


def _product(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None or len(first[1]) < 2 or len(second[1]) < 2:
        return None
    return (first[0], (first[1][0], second[1][1]))


def _size(tensor: Tensor | None, axis: int) -> int:
    return tensor[1][axis] if tensor is not None and len(tensor[1]) > axis else 0


def _in(tensor: Tensor | None) -> int:
    return _size(tensor, 1)


def _split(modules: Mapping[str, Tensor]) -> tuple[list[tuple[str, Tensor]], dict[str, list[tuple[str, Tensor]]]]:
    model: list[tuple[str, Tensor]] = []
    texts: dict[str, list[tuple[str, Tensor]]] = {}
    for name, tensor in modules.items():
        if (match := _TEXT.match(name)) is not None:
            texts.setdefault(match["number"].strip("_."), []).append((match["module"], tensor))
            continue
        model.append((_bare(name), tensor))
    return model, texts


def _bare(name: str) -> str:
    """The name of a module without the names that wrap its model."""
    while True:
        wrapper = next((word for word in _WRAPPERS if name.startswith(word) and len(name) > len(word)), None)
        if wrapper is None:
            return name
        name = name[len(wrapper) :]


def _joined(name: str) -> str:
    return name.replace(".processor.", ".").replace(".", "_").removesuffix("_weight").lstrip("_")


_PLACES = ("input_blocks_#_#", "output_blocks_#_#", "middle_block_#", "down_blocks_#_attentions_#",
           "up_blocks_#_attentions_#", "mid_block_attentions_#")  # fmt: skip
_TEXT_IN = "|".join(f"{place}_transformer_blocks_#_attn2_to_{one}[1]" for place in _PLACES for one in "kv")
_UNET = "|".join(f"{place}_transformer_blocks_#" for place in _PLACES)
_DEEP = "|".join(f"n({place}_transformer_blocks)" for place in _PLACES)
_FLUX_DEV = "Flux.1 dev | Flux.1 Kontext dev | Flux.1 Krea dev | Flux.1 schnell"
_WAN14 = "Wan2.1 T2V 14B | Wan2.2 T2V A14B"


def _in_of(before: str, *modules: str) -> str:
    """The inner sizes of some modules of a block, as alternatives of a condition."""
    return "|".join(f"{before}_{module}[1]" for module in modules)


_ATTENTION = _in_of("blocks_#", *(f"self_attn_{one}" for one in "qkvo"), "cross_attn_q", "cross_attn_o", "ffn_0")
_ATTENTION_DIFFUSERS = _in_of(
    "blocks_#", "attn1_to_q", "attn1_to_k", "attn1_to_v", "attn1_to_out_0", "ffn_net_0_proj"
)
_COSMOS = (
    _in_of(
        "blocks_#",
        *(f"self_attn_{one}_proj" for one in ("q", "k", "v", "output")),
        "cross_attn_q_proj",
        "mlp_layer1",
    )
    + "|blocks_#_cross_attn_output_proj[1]|blocks_#_cross_attn_k_proj[0]"
)
_LAYER = _in_of("layers_#", "attention_qkv", "attention_to_q", "attention_to_k", "attention_to_v", "attention_out",
                "attention_to_out_0", "feed_forward_w1", "feed_forward_w3")  # fmt: skip
_BFL = (
    _in_of("double_blocks_#", "img_attn_qkv", "img_attn_proj", "txt_attn_qkv", "txt_attn_proj", "img_mlp_0")
    + "|single_blocks_#_linear1[1]|single_blocks_#_linear2[0]"
)
_MMDIT = _in_of("transformer_blocks_#", "attn_to_q", "attn_to_k", "attn_to_v", "attn_to_out_0", "attn_add_q_proj")
_ATTN1 = _in_of("transformer_blocks_#", "attn1_to_q", "attn1_to_k", "attn1_to_v")

#: What an adapter is for, by the modules of the diffusion model.
ADAPTERS = rows(
    _COMFY,
    ("SD1.x", "AnimateDiff SD1.5", "down_blocks_#_motion_modules|up_blocks_#_motion_modules", "motion"),
    ("Stable Cascade", "Stage C",
     "down_blocks_#_#_attention_attn|down_blocks_#_#_kv_mapper|up_blocks_#_#_kv_mapper|"
     "down_blocks_#_#_channelwise"),
    ("Kolors", "Kolors", "encoder_hid_proj"),
    ("SDXL", "SDXL 1.0", f"{_TEXT_IN}=2048"),
    ("SDXL", "SDXL 1.0 refiner", f"{_TEXT_IN}=1280", "refiner"),
    ("SD2.x", "Stable Diffusion 2.0 | Stable Diffusion 2.1", f"{_TEXT_IN}=1024"),
    ("SD1.x", "Stable Diffusion 1.4 | Stable Diffusion 1.5", f"{_TEXT_IN}=768"),
    ("SDXL", "SDXL 1.0", f"{_UNET} {_DEEP}>=3"),
    ("Flux.2", "Flux.2 dev", f"double_blocks_#|single_blocks_# {_BFL}=6144"),
    ("Flux.2", "Flux.2 klein 9B", f"double_blocks_#|single_blocks_# {_BFL}=4096"),
    ("Flux.2", "Flux.2 klein 4B", "double_blocks_#_img_mlp_0[0]|single_blocks_#_linear1[0]=18432,27648"),
    ("Chroma", "Chroma1", "distilled_guidance_layer"),
    ("HunyuanImage", "HunyuanImage-2.1", f"{_BFL}=3584"),
    ("HunyuanImage", "HunyuanImage-2.1 refiner", f"{_BFL}=3328"),
    ("Hunyuan3D", "Hunyuan3D-2 | Hunyuan3D-2mini | Hunyuan3D-2mv", f"{_BFL}=1024"),
    ("Cosmos", "Cosmos 1.0", "blocks_block#_blocks_#_block"),
    ("Wan2.2", "Wan2.2 Animate 14B", "face_adapter|motion_encoder", "image-to-video"),
    ("HunyuanVideo", "HunyuanVideo 1.5", f"{_BFL}=2048"),
    ("HunyuanVideo", "HunyuanVideo", "txt_in_individual_token_refiner"),
    ("HunyuanVideo", "HunyuanVideo",
     "double_blocks_#_img_mlp_fc1|double_blocks_#_txt_mlp_fc1|double_blocks_#_img_mod_linear|"
     "single_blocks_#_modulation_linear"),
    ("HunyuanVideo", "HunyuanVideo", f"{_BFL}=3072 n(double_blocks)>=20"),
    ("HunyuanVideo", "HunyuanVideo", f"{_BFL}=3072 n(single_blocks)>=39"),
    ("Flux.1", "Flux.1 Canny dev | Flux.1 Depth dev", "img_in[1]=128", "control"),
    ("Flux.1", _FLUX_DEV,
     "double_blocks_#_img_mod_lin|double_blocks_#_txt_mod_lin|single_blocks_#_modulation_lin|vector_in|"
     "guidance_in"),
    ("Flux.1", _FLUX_DEV, "double_blocks_#_qkv|double_blocks_#_proj"),
    ("Flux.1", f"{_FLUX_DEV} | Chroma1", f"{_BFL}=3072"),
    # Where a way to train leaves the sizes open, they are 0.
    ("Flux.1", f"{_FLUX_DEV} | Chroma1", f"double_blocks_#_img_attn_qkv|single_blocks_#_linear1 {_BFL}=0"),
    ("SD3", "SD3.5 large", "joint_blocks_#_x_block_attn_qkv[1]|joint_blocks_#_context_block_attn_qkv[1]=2432"),
    ("SD3", "SD3.5 medium", "joint_blocks_#_x_block_attn2"),
    ("SD3", "SD3 medium | SD3.5 medium",
     "joint_blocks_#_x_block_attn_qkv[1]|joint_blocks_#_context_block_attn_qkv[1]=1536"),
    ("SD3", "SD3 medium | SD3.5 medium | SD3.5 large", "joint_blocks_#"),
    ("AuraFlow", "AuraFlow",
     "joint_transformer_blocks_#|double_layers_#|single_layers_#|single_transformer_blocks_#_ff_linear_1"),
    ("HiDream", "HiDream-I1 full | HiDream-I1 dev | HiDream-I1 fast | HiDream-E1",
     "double_stream_blocks_#|single_stream_blocks_#"),
    ("Qwen-Image", "Qwen-Image | Qwen-Image-Edit | Qwen-Image-Edit-2509",
     "transformer_blocks_#_img_mlp|transformer_blocks_#_txt_mlp|transformer_blocks_#_img_mod|"
     "transformer_blocks_#_txt_mod"),
    ("ACE-Step", "ACE-Step v1 3.5B",
     "transformer_blocks_#_cross_attn|speaker_embedder|genre_embedder|lyric_encoder"),
    ("Krea 2", "Krea 2", "txtfusion|text_fusion|time_mod_proj"),
    ("Krea 2", "Krea 2", "blocks_#_attn_wq blocks_#_attn_gate"),
    ("Kandinsky 5", "Kandinsky 5", "visual_transformer_blocks_#"),
    ("Wan2.1", "Wan2.1 VACE", "vace_blocks_#", "vace"),
    ("Wan2.1", "Wan2.1 I2V 14B",
     f"blocks_#_cross_attn_k_img|blocks_#_cross_attn_v_img|blocks_#_attn2_add_k_proj {_ATTENTION}|"
     f"{_ATTENTION_DIFFUSERS}=5120", "image-to-video"),
    ("Wan2.1", "Wan2.1 I2V",
     "blocks_#_cross_attn_k_img|blocks_#_cross_attn_v_img|blocks_#_attn2_add_k_proj", "image-to-video"),
    ("Wan2.1/2.2", f"{_WAN14} | Wan2.1 I2V 14B | Wan2.2 I2V A14B", f"{_ATTENTION}=5120"),
    ("Wan2.1", "Wan2.1 T2V 1.3B", f"{_ATTENTION}=1536"),
    ("Wan2.2", "Wan2.2 TI2V 5B", f"{_ATTENTION}=3072"),
    ("HunyuanDiT", "HunyuanDiT 1.1 | HunyuanDiT 1.2",
     "blocks_#_attn1_Wqkv|blocks_#_attn2_kv_proj|blocks_#_attn2_q_proj"),
    ("Mochi", "Mochi 1 preview",
     "blocks_#_attn_qkv_x|blocks_#_attn_qkv_y|blocks_#_attn_proj_x|blocks_#_mlp_x|blocks_#_mlp_y|"
     "transformer_blocks_#_attn1_add_q_proj"),
    ("Stable Audio", "Stable Audio Open 1.0",
     "transformer_layers_#_self_attn_to_qkv|layers_#_self_attn_to_qkv|transformer_layers_#_cross_attn_to_kv|"
     "layers_#_cross_attn_to_kv"),
    ("Anima", "Anima", "llm_adapter"),
    ("Cosmos-Predict2", "Cosmos-Predict2 2B | Anima", f"{_COSMOS}=2048"),
    ("Cosmos-Predict2", "Cosmos-Predict2 14B", f"{_COSMOS}=5120"),
    ("Z-Image", "Z-Image | Z-Image-Turbo", f"{_LAYER}=3840"),
    ("Lumina2", "Lumina-Image-2.0", f"{_LAYER}=2304"),
    ("OmniGen2", "OmniGen2",
     "layers_#_attn_to_q[1]|layers_#_attn_to_v[1]|layers_#_feed_forward_linear_1[1]=2520"),
    ("Lumina2", "Lumina-Image-2.0", "layers_#_attn_to_q[1]|layers_#_attn_to_v[1]=2304"),
    ("PixArt", "PixArt-alpha | PixArt-Sigma", f"{_ATTN1}=1152"),
    ("LTXV", "LTX-2", "transformer_blocks_#_audio_attn1|transformer_blocks_#_audio_to_video_attn"),
    ("LTXV", "LTX-Video 2B", f"{_ATTN1}=2048"),
    ("LTXV", "LTX-Video 13B", f"{_ATTN1}=4096"),
    ("CogVideoX", "CogVideoX 2B", f"{_ATTN1}=1920"),
    ("CogVideoX", "CogVideoX 5B", f"{_ATTN1}=3072"),
    ("Sana", "Sana", f"{_ATTN1}=2240"),
    ("PixArt", "PixArt-alpha | PixArt-Sigma", "blocks_#_attn_qkv[1]|blocks_#_cross_attn_q_linear[1]=1152"),
    ("Hunyuan3D", "Hunyuan3D-2.1", "blocks_#_attn1_to_q[1]=2048 blocks_#_attn2|blocks_#_moe"),
    ("Wan2.1/2.2", f"{_WAN14} | Wan2.1 I2V 14B | Wan2.2 I2V A14B", f"{_ATTENTION_DIFFUSERS}=5120"),
    ("Wan2.1", "Wan2.1 T2V 1.3B", f"{_ATTENTION_DIFFUSERS}=1536"),
    ("Wan2.2", "Wan2.2 TI2V 5B", f"{_ATTENTION_DIFFUSERS}=3072"),
) + rows(
    _INVOKE,
    ("Flux.2", "Flux.2 dev | Flux.2 klein",
     "single_transformer_blocks_#_attn_to_qkv_mlp_proj|transformer_blocks_#_ff_linear_in|"
     "double_stream_modulation_img"),
    ("HunyuanVideo", "HunyuanVideo", "single_transformer_blocks_# n(single_transformer_blocks)>=39"),
    ("HunyuanVideo", "HunyuanVideo", "context_embedder_token_refiner"),
    ("Flux.1", _FLUX_DEV,
     "single_transformer_blocks_#_norm_linear|transformer_blocks_#_norm1_context_linear|time_text_embed "
     "single_transformer_blocks_#"),
    ("Flux.1", f"{_FLUX_DEV} | Chroma1",
     "single_transformer_blocks_#_attn_to_q|single_transformer_blocks_#_attn_to_k|"
     "single_transformer_blocks_#_attn_to_v|single_transformer_blocks_#_proj_mlp|"
     "single_transformer_blocks_#_proj_out"),
    ("SD3", "SD3.5 large", f"{_MMDIT}=2432"),
    ("SD3", "SD3.5 medium", f"transformer_blocks_#_attn2 {_MMDIT}=1536"),
    ("SD3", "SD3 medium | SD3.5 medium", f"{_MMDIT}=1536"),
    ("Qwen-Image", "Qwen-Image | Qwen-Image-Edit | Qwen-Image-Edit-2509",
     f"{_MMDIT}=3072 n(transformer_blocks)>=20"),
    ("Flux.1", f"{_FLUX_DEV} | Chroma1",
     f"transformer_blocks_#_ff_context_net|transformer_blocks_#_ff_net {_MMDIT}=3072"),
    (None, f"{_FLUX_DEV} | Chroma1 | Qwen-Image | HunyuanVideo", f"{_MMDIT}=3072"),
)  # fmt: skip

_CLIP_IN = _in_of(
    "text_model_encoder_layers_#",
    *(f"self_attn_{one}" for one in ("q_proj", "k_proj", "v_proj", "out_proj")),
    "mlp_fc1",
)

#: What an adapter of text encoders is for: SDXL has two, which trainers number.
_TEXT_1 = rows(
    _COMFY,
    ("SD1.x", "Stable Diffusion 1.4 | Stable Diffusion 1.5", f"{_CLIP_IN}=768"),
    ("SD2.x", "Stable Diffusion 2.0 | Stable Diffusion 2.1", f"{_CLIP_IN}=1024"),
)
_TEXT_2 = rows(_COMFY, ("SDXL", "SDXL 1.0", f"{_CLIP_IN}=1280"))
#: Self-attention of a U-Net alone: SDXL has none in its outermost blocks.
_LAST = rows(
    _COMFY,
    (None, "Stable Diffusion 1.5 | Stable Diffusion 2.1",
     "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q|"
     "up_blocks_3_attentions_0_transformer_blocks_0_attn1_to_q|"
     "input_blocks_1_1_transformer_blocks_0_attn1_to_q|output_blocks_11_1_transformer_blocks_0_attn1_to_q"),
)  # fmt: skip


_UNET_BLOCKS = ("down_blocks_#", "up_blocks_#", "input_blocks_#", "output_blocks_#")


def base_of(adapter: Adapter) -> Match | None:
    """The model that an adapter is for; None if its modules do not tell."""
    if (match := first(ADAPTERS, adapter.joined)) is not None:
        return match
    if len(adapter.joined) and not any(adapter.joined.has(place) for place in _UNET_BLOCKS):
        return None  # a text encoder may serve several models
    if "2" in adapter.texts:
        return first(_TEXT_2, adapter.texts["2"])
    return first(_TEXT_1, adapter.texts[""]) if "" in adapter.texts else first(_LAST, adapter.joined)

"""U-Nets of Stable Diffusion and its kin: by the width of the text they attend to, their inputs and depths."""

from __future__ import annotations

from synapse_sync.core.weights.rule import rows

_SOURCE = "ComfyUI comfy/model_detection.py and comfy/supported_models.py"

_PLACES = ("input_blocks.#.#", "output_blocks.#.#", "middle_block.#", "down_blocks.#.attentions.#",
           "up_blocks.#.attentions.#", "mid_block.attentions.#")  # fmt: skip
#: The width of the text embeddings, in each part of the U-Net, as LDM and as diffusers name it.
_TEXT = "|".join(f"{place}.transformer_blocks.#.attn2.to_k.weight[1]" for place in _PLACES)
#: The widths of its blocks.
_WIDTH = _TEXT.replace("attn2.to_k.weight[1]", "attn2.to_k.weight[0]")
_IN = "input_blocks.0.0.weight[1]|conv_in.weight[1]"
#: The inputs of a model without images as inputs. Where they are others, the model is another one.
_PLAIN = f"{_IN}?=4"
_EXTRA = "label_emb.0.0.weight[1]|add_embedding.linear_1.weight[1]|class_embedding.linear_1.weight[1]"
_DEPTH = "n(input_blocks.#.#.transformer_blocks)|n(down_blocks.#.attentions.#.transformer_blocks)"
_FILM = (
    "input_blocks.#.#.time_stack|output_blocks.#.#.time_stack"
    "|down_blocks.#.attentions.#.temporal_transformer_blocks|up_blocks.#.attentions.#.temporal_transformer_blocks"
)
_BLOCKS = "input_blocks.#.#|output_blocks.#.#|middle_block.#|down_blocks.#|up_blocks.#|mid_block"

UNETS = rows(
    "diffusers models/unets",
    ("DreamLite", "DreamLite", "down_blocks.#.resnets.#.conv1.depthwise|up_blocks.#.resnets.#.conv1.depthwise"),
    ("I2VGen-XL", "I2VGen-XL", "fps_embedding image_latents_proj_in|image_latents_context_embedding",
     "image-to-video"),
    ("Kandinsky 2.2", "Kandinsky 2.2", "add_embedding.image_proj encoder_hid_proj.image_embeds"),
    ("DeepFloyd IF", "DeepFloyd IF", "add_embedding.pool encoder_hid_proj"),
    ("ModelScope T2V", "ModelScope text-to-video | ZeroScope v2",
     "transformer_in|down_blocks.#.temp_convs|up_blocks.#.temp_convs|input_blocks.#.#.temopral_conv", "video"),
) + rows(
    _SOURCE,
    ("SD1.x", "AnimateDiff SD1.5 (whole U-Net)",
     f"{_TEXT}=768 down_blocks.#.motion_modules down_blocks.#.resnets", "motion"),
    ("SVD", "SV3D_u", f"{_FILM} {_EXTRA}=256", "image-to-video"),
    ("SVD", "SV3D_p", f"{_FILM} {_EXTRA}=1280", "image-to-video"),
    ("SVD", "Stable Video Diffusion | Stable Video Diffusion XT", _FILM, "image-to-video"),
    ("Kolors", "Kolors inpainting", f"{_TEXT}=2048 {_EXTRA}=5632 {_IN}=9", "inpainting"),
    ("Kolors", "Kolors", f"{_TEXT}=2048 {_EXTRA}=5632 {_PLAIN}"),
    ("Kolors", "Kolors", f"{_TEXT}=2048 encoder_hid_proj {_PLAIN}"),
    ("SDXL", "SDXL 1.0 refiner", f"{_TEXT}=1280 {_EXTRA}=2560 {_PLAIN}", "refiner"),
    ("SDXL", "SDXL 1.0 refiner", f"{_TEXT}=1280 {_WIDTH}=768,1536 {_PLAIN}", "refiner"),
    ("SDXL", "SDXL inpainting", f"{_TEXT}=2048 {_EXTRA}=2816 {_IN}=9", "inpainting"),
    ("SDXL", "SDXL InstructPix2Pix", f"{_TEXT}=2048 {_EXTRA}=2816 {_IN}=8", "instruct"),
    ("SDXL", "Playground v2.5", f"{_TEXT}=2048 {_EXTRA}=2816 edm_mean {_PLAIN}"),
    ("SDXL", "SDXL 1.0 base", f"{_TEXT}=2048 {_EXTRA}=2816 {_DEPTH}=10 {_PLAIN}"),
    ("SDXL", "SSD-1B", f"{_TEXT}=2048 {_EXTRA}=2816 {_DEPTH}=4 {_PLAIN}"),
    ("SDXL", "KOALA-700M", f"{_TEXT}=2048 {_EXTRA}=2816 {_DEPTH}=5 {_PLAIN}"),
    ("SDXL", "KOALA-1B", f"{_TEXT}=2048 {_EXTRA}=2816 {_DEPTH}=6 {_PLAIN}"),
    ("SDXL", "Segmind Vega", f"{_TEXT}=2048 {_EXTRA}=2816 {_DEPTH}=2 {_PLAIN}"),
    ("SDXL", "SDXL 1.0 base | SSD-1B | Segmind Vega | KOALA-700M | KOALA-1B",
     f"{_TEXT}=2048 {_EXTRA}=2816 {_PLAIN}"),
    ("SDXL", "", f"{_TEXT}=2048 {_EXTRA}=2816"),
    ("Kolors", "", f"{_TEXT}=2048 {_EXTRA}=5632"),
    (None, "SDXL 1.0 base | Kolors", f"{_TEXT}=2048 {_DEPTH}=10 {_PLAIN}"),
    (None, "SDXL 1.0 base | SSD-1B | Segmind Vega | KOALA-700M | KOALA-1B | Kolors", f"{_TEXT}=2048 {_PLAIN}"),
    ("SD2.x", "SD x4 upscaler", f"{_TEXT}=1024 {_IN}=7", "upscaler"),
    ("SD2.x", "Stable Diffusion 2 inpainting", f"{_TEXT}=1024 {_IN}=9", "inpainting"),
    ("SD2.x", "Stable Diffusion 2 depth", f"{_TEXT}=1024 {_IN}=5", "depth"),
    ("SD2.x", "SD 2.1 unCLIP-H", f"{_TEXT}=1024 {_EXTRA}=2048 {_PLAIN}", "unclip"),
    ("SD2.x", "SD 2.1 unCLIP-L", f"{_TEXT}=1024 {_EXTRA}=1536 {_PLAIN}", "unclip"),
    ("SD2.x", "Lotus-D depth", f"{_TEXT}=1024 {_EXTRA}=4", "depth"),
    ("SD2.x", "SDXS-512-0.9", f"{_TEXT}=1024 {_IN}=4 input_blocks.#.#|down_blocks.# !middle_block !mid_block"),
    ("SD2.x", "Stable Diffusion 2.0 | Stable Diffusion 2.1", f"{_TEXT}=1024 {_PLAIN}"),
    ("SD2.x", "", f"{_TEXT}=1024"),
    ("SD1.x", "Stable Zero123", f"{_TEXT}=768 cc_projection"),
    ("SD1.x", "Stable Diffusion 1.5 inpainting", f"{_TEXT}=768 {_IN}=9", "inpainting"),
    ("SD1.x", "InstructPix2Pix (SD1.5) | Zero123 | IC-Light fc | IC-Light fcon", f"{_TEXT}=768 {_IN}=8"),
) + rows(
    "IC-Light gradio_demo_bg.py",
    ("SD1.x", "IC-Light fbc", f"{_TEXT}=768 {_IN}=12"),
) + rows(
    _SOURCE,
    ("SD1.x", "SDXS-512", f"{_TEXT}=768 {_IN}=4 input_blocks.#.#|down_blocks.# !middle_block !mid_block"),
    ("SD1.x", "Stable Diffusion 1.4 | Stable Diffusion 1.5", f"{_TEXT}=768 {_PLAIN}"),
    ("SD1.x", "", f"{_TEXT}=768"),
)  # fmt: skip

#: U-Nets whose linear layers are packed: their convolutions and the numbers of their blocks still say much.
PACKED_UNETS = rows(
    _SOURCE,
    ("SDXL", "SDXL 1.0 base",
     f"n(input_blocks.#.#.transformer_blocks)=10 input_blocks.0.0.weight[1]=4 {_TEXT}?=2048"),
    ("SDXL", "SDXL inpainting",
     f"n(input_blocks.#.#.transformer_blocks)=10 input_blocks.0.0.weight[1]=9 {_TEXT}?=2048", "inpainting"),
    ("SD1.x", "Stable Diffusion 1.4 | Stable Diffusion 1.5",
     "input_blocks.1.1.proj_in.weight:axes=4 input_blocks.0.0.weight[0]=320 n(input_blocks)=12 !label_emb "
     f"{_PLAIN} {_TEXT}?=768"),
)  # fmt: skip

#: Blocks of a U-Net whose family no row tells.
ANY_UNET = f"{_BLOCKS} time_embed|time_embedding input_blocks.0.0.weight|conv_in.weight"

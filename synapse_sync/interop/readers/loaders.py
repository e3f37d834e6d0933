"""The folders in which ComfyUI's nodes look for the files that their widgets name. Pure.

Read from ComfyUI's `nodes.py` and `comfy_extras` (0.3.64 and later) and from the node packs ComfyUI-GGUF, rgthree,
Impact, IPAdapter Plus and AnimateDiff Evolved, in November 2026. Folders are below `models/`.
"""

from __future__ import annotations

import re

#: Folders by the type of the node.
BY_NODE = {
    "AudioEncoderLoader": "audio_encoders",
    "CLIPLoader": "text_encoders",
    "CLIPLoaderGGUF": "text_encoders",
    "CLIPVisionLoader": "clip_vision",
    "CheckpointLoader": "checkpoints",
    "CheckpointLoaderSimple": "checkpoints",
    "ControlNetLoader": "controlnet",
    "ControlNetLoaderAdvanced": "controlnet",
    "DiffControlNetLoader": "controlnet",
    "DualCLIPLoader": "text_encoders",
    "DualCLIPLoaderGGUF": "text_encoders",
    "FrameInterpolationModelLoader": "frame_interpolation",
    "GLIGENLoader": "gligen",
    "HypernetworkLoader": "hypernetworks",
    "IPAdapterModelLoader": "ipadapter",
    "ImageOnlyCheckpointLoader": "checkpoints",
    "LTXVAudioVAELoader": "checkpoints",
    "LatentUpscaleModelLoader": "latent_upscale_models",
    "LoadBackgroundRemovalModel": "background_removal",
    "LoadDA3Model": "geometry_estimation",
    "LoadMoGeModel": "geometry_estimation",
    "LoraLoader": "loras",
    "LoraLoaderModelOnly": "loras",
    "ModelPatchLoader": "model_patches",
    "OpticalFlowLoader": "optical_flow",
    "PhotoMakerLoader": "photomaker",
    "Power Lora Loader (rgthree)": "loras",
    "QuadrupleCLIPLoader": "text_encoders",
    "QuadrupleCLIPLoaderGGUF": "text_encoders",
    "SAM3DBody_Loader": "detection",
    "SAMLoader": "sams",
    "StyleModelLoader": "style_models",
    "TripleCLIPLoader": "text_encoders",
    "TripleCLIPLoaderGGUF": "text_encoders",
    "UNETLoader": "diffusion_models",
    "UltralyticsDetectorProvider": "ultralytics",
    "UnetLoaderGGUF": "diffusion_models",
    "UnetLoaderGGUFAdvanced": "diffusion_models",
    "UpscaleModelLoader": "upscale_models",
    "VAELoader": "vae",
    "unCLIPCheckpointLoader": "checkpoints",
    "ADE_LoadAnimateDiffModel": "animatediff_models",
    "ADE_AnimateDiffLoaderGen1": "animatediff_models",
}  # fmt: skip

#: Folders by the name of the input, for nodes of other types: most packs use the words of ComfyUI's own.
BY_INPUT = {
    "audio_encoder_name": "audio_encoders",
    "base_ckpt_name": "checkpoints",
    "ckpt_name": "checkpoints",
    "clip_name": "text_encoders",
    "clip_vision_name": "clip_vision",
    "control_net_name": "controlnet",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "ipadapter_file": "ipadapter",
    "lora": "loras",
    "lora_name": "loras",
    "photomaker_model_name": "photomaker",
    "refiner_ckpt_name": "checkpoints",
    "style_model_name": "style_models",
    "text_encoder": "text_encoders",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
}

#: The endings of the files that widgets name, and the most characters of such a name with its folders.
_LONGEST = 300
ENDINGS = (".bin", ".ckpt", ".gguf", ".onnx", ".pkl", ".pt", ".pt2", ".pth", ".safetensors", ".sft")


_NUMBER = re.compile(r"_?\d+\Z")


def folder_for(node: str, name: str = "") -> str:
    """The folder of a widget's file, below `models/`; "" if it is not known.

    `node` is the type of the node. `name` is that of the input, "" where the workflow does not state it; numbers at
    its end count inputs of one kind.
    """
    return BY_NODE.get(node) or BY_INPUT.get(_NUMBER.sub("", name), "")


def is_model_file(text: str) -> bool:
    """Whether a widget's value is the name of a model's file."""
    return len(text) <= _LONGEST and "\n" not in text and "://" not in text and text.lower().endswith(ENDINGS)

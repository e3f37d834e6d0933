"""The folders and endings of each UI, by model type. Folders are relative to the UI's directory.

Read from the projects' sources in 2025 and 2026: ComfyUI `folder_paths.py`, A1111 `modules/cmd_args.py`, Forge and
Forge Neo, SD.Next `modules/ui_definitions.py`, SwarmUI `Settings.cs`, Fooocus `modules/config.py`, StabilityMatrix
`SharedFolderType.cs`. The first folder is the one that is written, the others are read by the UI as well. Case
matters.
"""

from __future__ import annotations

Folders = dict[str, tuple[str, ...]]


def _detectors(folder: str) -> Folders:
    """The rows of a UI with one folder for all detection models."""
    return dict.fromkeys(("detection", "ultralytics_bbox", "ultralytics_segm"), (folder,))


def _below(root: str, folders: Folders) -> Folders:
    return {kind: tuple(f"{root}/{name}" for name in names) for kind, names in folders.items()}


COMFYUI: Folders = _below(
    "models",
    {
        "audio_encoder": ("audio_encoders",),
        "background_removal": ("background_removal",),
        "checkpoint": ("checkpoints",),
        "classifier": ("classifiers",),
        "clip_vision": ("clip_vision",),
        "config": ("configs",),
        "controlnet": ("controlnet", "t2i_adapter"),
        "detection": ("detection",),
        "diffusers": ("diffusers",),
        "diffusion_model": ("diffusion_models", "unet"),
        "embedding": ("embeddings",),
        "face_restore": ("facerestore_models",),
        "frame_interpolation": ("frame_interpolation",),
        "geometry_estimation": ("geometry_estimation",),
        "gligen": ("gligen",),
        "hypernetwork": ("hypernetworks",),
        "ip_adapter": ("ipadapter",),
        "latent_upscaler": ("latent_upscale_models",),
        "lora": ("loras",),
        "model_patch": ("model_patches",),
        "motion_module": ("animatediff_models",),
        "optical_flow": ("optical_flow",),
        "photomaker": ("photomaker",),
        "sam": ("sams",),
        "style_model": ("style_models",),
        "text_encoder": ("text_encoders", "clip"),
        "ultralytics_bbox": ("ultralytics/bbox",),  # a node pack's folders: a mask needs the second one
        "ultralytics_segm": ("ultralytics/segm",),
        "upscaler": ("upscale_models",),
        "vae": ("vae",),
        "vae_approx": ("vae_approx",),
    },
)

A1111: Folders = {
    "checkpoint": ("models/Stable-diffusion",),
    "config": ("models/Stable-diffusion",),  # the yaml of a checkpoint belongs beside it
    "controlnet": ("models/ControlNet",),
    **_detectors("models/adetailer"),
    "embedding": ("embeddings",),  # beside models/, not in it
    "face_restore": ("models/GFPGAN", "models/Codeformer"),
    "hypernetwork": ("models/hypernetworks",),
    "ip_adapter": ("models/ControlNet",),
    "lora": ("models/Lora", "models/LyCORIS"),
    "poses": ("models/Poses",),  # where the managers of Civitai's models put them
    "upscaler": ("models/ESRGAN", "models/RealESRGAN", "models/SwinIR", "models/DAT", "models/ScuNET"),
    "vae": ("models/VAE",),
    "vae_approx": ("models/VAE-approx", "models/VAE-taesd"),
}

#: Folders of extensions, by type. They are no sign of the UI, and nobody looks for other models in them.
A1111_EXTENSIONS = {
    "aesthetic_gradient": "extensions/stable-diffusion-webui-aesthetic-gradients/aesthetic_embeddings",
}

FORGE: Folders = {
    **A1111,
    "clip_vision": ("models/ControlNetPreprocessor/clip_vision",),
    "diffusers": ("models/diffusers",),
    "diffusion_model": ("models/Stable-diffusion",),  # UNet-only files and GGUF are checkpoints to Forge
    "text_encoder": ("models/text_encoder",),
}

FORGE_NEO: Folders = {
    **{kind: names for kind, names in FORGE.items() if kind != "hypernetwork"},
    "embedding": ("models/embeddings",),
    "upscaler": ("models/ESRGAN",),
}

SDNEXT: Folders = _below(
    "models",
    {
        "checkpoint": ("Stable-diffusion",),
        "config": ("Stable-diffusion",),
        "controlnet": ("control/controlnet",),
        **_detectors("yolo"),
        "diffusers": ("Diffusers",),
        "diffusion_model": ("UNET",),
        "embedding": ("embeddings",),
        "lora": ("Lora",),
        "text_encoder": ("Text-encoder",),
        "upscaler": ("ESRGAN", "RealESRGAN", "SwinIR", "BSRGAN", "SCUNet"),
        "vae": ("VAE",),
        "vae_approx": ("VAE-approx",),
        "wildcards": ("wildcards",),
    },
)

SWARMUI: Folders = {
    **_below(
        "Models",
        {
            "checkpoint": ("Stable-Diffusion",),
            "clip_vision": ("clip_vision",),
            "controlnet": ("controlnet",),
            **_detectors("yolov8"),
            "diffusion_model": ("diffusion_models", "unet"),
            "embedding": ("Embeddings",),
            "hypernetwork": ("hypernetworks",),
            "ip_adapter": ("ipadapter",),
            "latent_upscaler": ("latent_upscale_models",),
            "lora": ("Lora", "LyCORIS"),
            "model_patch": ("model_patches",),
            "style_model": ("style_models",),
            "text_encoder": ("text_encoders", "clip"),
            "upscaler": ("upscale_models",),
            "vae": ("VAE",),
        },
    ),
    "wildcards": ("Data/Wildcards",),
}

FOOOCUS: Folders = {
    **_below(
        "models",
        {
            "checkpoint": ("checkpoints",),
            "clip_vision": ("clip_vision",),
            "controlnet": ("controlnet",),
            "embedding": ("embeddings",),
            "ip_adapter": ("controlnet",),
            "lora": ("loras",),
            "sam": ("sam",),
            "upscaler": ("upscale_models",),
            "vae": ("vae",),
            "vae_approx": ("vae_approx",),
        },
    ),
    "wildcards": ("wildcards",),
}

STABILITY_MATRIX: Folders = _below(
    "Models",
    {
        "audio_encoder": ("AudioEncoders",),
        "background_removal": ("BackgroundRemoval",),
        "checkpoint": ("StableDiffusion",),
        "clip_vision": ("ClipVision",),
        "controlnet": ("ControlNet", "T2IAdapter"),
        **_detectors("Ultralytics"),
        "ultralytics_bbox": ("Ultralytics/bbox",),
        "ultralytics_segm": ("Ultralytics/segm",),
        "diffusers": ("Diffusers",),
        "diffusion_model": ("DiffusionModels",),
        "embedding": ("Embeddings",),
        "face_restore": ("GFPGAN", "Codeformer"),
        "gligen": ("GLIGEN",),
        "hypernetwork": ("Hypernetwork",),
        "ip_adapter": ("IpAdapter",),
        "lora": ("Lora", "LyCORIS"),
        "model_patch": ("ModelPatches",),
        "sam": ("Sams",),
        "style_model": ("StyleModels",),
        "text_encoder": ("TextEncoders",),
        "upscaler": ("ESRGAN", "RealESRGAN", "SwinIR"),
        "vae": ("VAE",),
        "vae_approx": ("ApproxVAE",),
    },
)

# Endings, from the same sources. A type without a row of its own has all known endings of weights.

Endings = dict[str, tuple[str, ...]]
_ANY = ("bin", "ckpt", "gguf", "onnx", "pkl", "pt", "pt2", "pth", "safetensors", "sft")
#: Types whose files are not single weights: text, folders and others.
_NO_WEIGHTS = frozenset({"config", "diffusers", "other", "poses", "wildcards", "workflow"})


def _listed(folders: Folders, own: Endings) -> Endings:
    return {kind: own.get(kind, _ANY) for kind in folders if kind not in _NO_WEIGHTS}


#: `supported_pt_extensions` of ComfyUI; ComfyUI-GGUF adds its own to two folders.
_TORCH = ("bin", "ckpt", "pkl", "pt", "pt2", "pth", "safetensors", "sft")
COMFYUI_ENDINGS = _listed(
    COMFYUI,
    {
        **dict.fromkeys(
            ("audio_encoder", "background_removal", "checkpoint", "clip_vision", "controlnet", "detection",
             "embedding", "frame_interpolation", "geometry_estimation", "gligen", "hypernetwork",
             "latent_upscaler", "lora", "model_patch", "optical_flow", "photomaker", "style_model", "upscaler",
             "vae"),
            _TORCH,
        ),
        **dict.fromkeys(("diffusion_model", "text_encoder"), ("gguf", *_TORCH)),
    },
)  # fmt: skip
_A1111: Endings = {
    "checkpoint": ("ckpt", "safetensors"),
    "embedding": ("avif", "bin", "jxl", "png", "pt", "safetensors", "webp"),
    "hypernetwork": ("pt",),
    "lora": ("ckpt", "pt", "safetensors"),
    "upscaler": ("pt", "pth", "safetensors"),
    "vae": ("ckpt", "pt", "safetensors"),
}
A1111_ENDINGS = _listed(A1111, _A1111)
_FORGE: Endings = {
    **_A1111,
    **dict.fromkeys(("checkpoint", "diffusion_model"), ("ckpt", "gguf", "safetensors")),
    **dict.fromkeys(("text_encoder", "vae"), ("bin", "ckpt", "gguf", "pt", "safetensors")),
}
FORGE_ENDINGS = _listed(FORGE, _FORGE)
FORGE_NEO_ENDINGS = _listed(FORGE_NEO, _FORGE)
SDNEXT_ENDINGS = _listed(
    SDNEXT,
    {
        "checkpoint": ("ckpt", "safetensors"),
        **dict.fromkeys(("detection", "ultralytics_bbox", "ultralytics_segm"), ("pt",)),
        "upscaler": ("pt", "pth"),
    },
)
SWARMUI_ENDINGS = _listed(SWARMUI, {})
STABILITY_MATRIX_ENDINGS = _listed(STABILITY_MATRIX, {})
FOOOCUS_ENDINGS = _listed(
    FOOOCUS, dict.fromkeys(("checkpoint", "lora", "vae"), ("bin", "ckpt", "patch", "pth", "safetensors"))
)

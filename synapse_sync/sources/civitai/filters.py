"""The words that filter Civitai's lists, as of 2026-08.

Sorts, periods and levels are fixed; new types and base models appear every month.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SORTS = (
    "Highest Rated", "Most Downloaded", "Most Liked", "Most Discussed", "Most Collected", "Most Images", "Newest",
    "Oldest",
)  # fmt: skip
IMAGE_SORTS = ("Most Reactions", "Most Comments", "Most Collected", "Newest", "Oldest", "Random")
PERIODS = ("Day", "Week", "Month", "Year", "AllTime")
LEVELS = ("None", "Soft", "Mature", "X")
TYPES = (
    "Checkpoint", "TextualInversion", "Hypernetwork", "AestheticGradient", "LORA", "LoCon", "DoRA", "Controlnet",
    "Upscaler", "MotionModule", "VAE", "TextEncoder", "UNet", "CLIPVision", "Poses", "Wildcards", "Workflows",
    "ComfyWorkflows", "Detection", "VisionLanguage", "CLIP", "LLM", "Other",
)  # fmt: skip
#: The words of synapse that differ from those of the site.
OUR_TYPES = {
    "embedding": "TextualInversion", "diffusion_model": "UNet", "motion_module": "MotionModule",
    "text_encoder": "TextEncoder", "clip_vision": "CLIPVision", "workflow": "Workflows",
}  # fmt: skip
BASE_MODELS = (
    "ACE Audio", "AuraFlow", "Anima", "Boogu", "Chroma", "CogVideoX", "Ernie", "Flux 3 Video", "Flux.1 D",
    "Flux.1 Kontext", "Flux.1 Krea", "Flux.1 S", "Flux.2 D", "Flux.2 Klein 4B", "Flux.2 Klein 4B-base",
    "Flux.2 Klein 9B", "Flux.2 Klein 9B-base", "Grok", "HappyHorse", "HiDream", "HiDream-O1", "Hunyuan 1",
    "Hunyuan Video", "Hunyuan3D", "Ideogram 4.0", "Illustrious", "Imagen4", "Kling", "Kolors", "Krea 2", "LTXV",
    "LTXV 2.3", "LTXV2", "Lens", "Lumina", "MAI", "MageFlow", "MiniMax H3", "Mochi", "Nano Banana", "NoobAI",
    "ODOR", "OpenAI", "Other", "PixArt E", "PixArt a", "Playground v2", "PolyGen", "Pony", "Pony V7", "Qwen",
    "Qwen 2", "Qwen 3", "Reve", "SD 1.4", "SD 1.5", "SD 1.5 Hyper", "SD 1.5 LCM", "SD 2.0", "SD 2.0 768",
    "SD 2.1", "SD 2.1 768", "SD 2.1 Unclip", "SD 3", "SD 3.5", "SD 3.5 Large", "SD 3.5 Large Turbo",
    "SD 3.5 Medium", "SDXL 0.9", "SDXL 1.0", "SDXL 1.0 LCM", "SDXL Distilled", "SDXL Hyper", "SDXL Lightning",
    "SDXL Turbo", "SVD", "SVD XT", "Seedance", "Seedream", "Sora 2", "Stable Cascade", "Tripo", "Upscaler",
    "Veo 3", "Vidu Q1", "Wan Image 2.7", "Wan Video", "Wan Video 1.3B t2v", "Wan Video 14B i2v 480p",
    "Wan Video 14B i2v 720p", "Wan Video 14B t2v", "Wan Video 2.2 I2V-A14B", "Wan Video 2.2 T2V-A14B",
    "Wan Video 2.2 TI2V-5B", "Wan Video 2.5 I2V", "Wan Video 2.5 T2V", "Wan Video 2.7", "ZImageBase",
    "ZImageTurbo",
)  # fmt: skip


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def spelled(text: str, words: Sequence[str]) -> str | None:
    """Return the site's spelling of a word, whatever its capitals, blanks and hyphens; None if it is unknown."""
    return next((word for word in words if _key(word) == _key(text)), None)

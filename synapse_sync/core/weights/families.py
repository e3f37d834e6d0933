"""Families of models that share adapters, by the words of sites (Civitai's `baseModel`) and of headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

#: The beginnings of words, in lower case without spaces and dots, and the group; the longest beginning counts.
#: Civitai's words: its `constants.ts` of 2026, BaseModel.
_GROUPS = {
    "sd1": "SD 1.x", "sdhyper": "SD 1.x", "stablediffusion1": "SD 1.x", "sd2": "SD 2.x",
    "stablediffusion2": "SD 2.x",
    "sdxl": "SDXL", "pony": "SDXL", "illustrious": "SDXL", "noobai": "SDXL", "ponyv7": "AuraFlow",
    "auraflow": "AuraFlow",
    "sd3": "SD3", "flux1": "Flux.1", "flux2": "Flux.2", "chroma": "Flux.1", "wan": "Wan", "qwen": "Qwen-Image",
    "hidream": "HiDream", "ltx": "LTXV", "hunyuanvideo": "HunyuanVideo", "hunyuan1": "HunyuanDiT",
    "hunyuandit": "HunyuanDiT", "lumina": "Lumina2", "zimage": "Z-Image", "kolors": "Kolors", "pixart": "PixArt",
    "mochi": "Mochi", "cogvideox": "CogVideoX", "stablecascade": "Stable Cascade", "svd": "SVD", "anima": "Anima",
}  # fmt: skip
#: Bases whose files on Civitai are whole checkpoints wherever their type is "Model" (SD.Next, `civitai.py`).
_WHOLE = frozenset({"SD 1.x", "SD 2.x", "SDXL"})


@lru_cache(maxsize=1 << 10)  # there are few words, and thousands of models
def family_group(word: str | None) -> str | None:
    """The group of a base model or a family, such as "SDXL" for "Illustrious"; None if unknown."""
    key = re.sub(r"[^a-z0-9]", "", (word or "").casefold())
    found = [beginning for beginning in _GROUPS if key.startswith(beginning)]
    return _GROUPS[max(found, key=len)] if found else None


def base_word(family: str | None, bases: Sequence[str]) -> str | None:
    """The base model of a header's answer in one word: the only one, else the group or family; None if unknown."""
    return bases[0] if len(bases) == 1 else family_group(family) or family


def is_whole_by_custom(base_model: str | None) -> bool:
    """Whether a checkpoint for this base is a whole one where its site says no more."""
    return family_group(base_model) in _WHOLE

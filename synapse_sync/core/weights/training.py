"""The metadata that trainers and savers write into a file: `ss_*` of kohya, `modelspec.*`, `general.*` of GGUF."""

from __future__ import annotations

import json
from collections.abc import Mapping

#: The keys that are shown; others hold hashes, or lists of whole data sets.
_KOHYA = (
    "ss_base_model_version", "ss_sd_model_name", "ss_network_module", "ss_network_dim", "ss_network_alpha",
    "ss_network_args", "ss_output_name", "ss_resolution", "ss_num_train_images", "ss_num_epochs", "ss_epoch",
    "ss_steps", "ss_learning_rate", "ss_clip_skip", "ss_v2", "ss_training_comment", "ss_training_finished_at",
)  # fmt: skip
_GENERAL = ("general.architecture", "general.name", "general.file_type", "general.license", "general.author")
_LONGEST, _MOST = 300, 60
_TAGS = 12


def training_of(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The facts about training and authorship, sorted by key; long texts are cut, images are left out."""
    wanted = [key for key in metadata if key in _KOHYA or key in _GENERAL or key.startswith("modelspec.")]
    facts = {
        key: " ".join(value.split())[:_LONGEST]
        for key in sorted(wanted)[:_MOST]
        if (value := metadata[key]).strip() not in ("", "None") and "thumbnail" not in key
    }
    if words := _words(metadata.get("ss_tag_frequency", "")):
        facts["ss_tag_frequency"] = words
    return tuple(sorted(facts.items()))


def _words(text: str) -> str:
    """The most frequent tags of the training images, the most frequent first."""
    try:
        folders = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    counts: dict[str, int] = {}
    if isinstance(folders, dict):
        for tags in folders.values():
            for tag, count in tags.items() if isinstance(tags, dict) else ():
                if isinstance(count, int):
                    counts[tag.strip()] = counts.get(tag.strip(), 0) + count
    return ", ".join(sorted(counts, key=lambda tag: (-counts[tag], tag))[:_TAGS])[:_LONGEST]


#: The families that trainers' words mean, by the beginnings of the words in lower case; the first match counts.
_FAMILIES = {
    "stable-diffusion-v1": "SD1.x", "sd_v1": "SD1.x", "sd_1": "SD1.x", "stable-diffusion-v2": "SD2.x",
    "sd_v2": "SD2.x",
    "stable-diffusion-xl": "SDXL", "sdxl": "SDXL", "stable-diffusion-3": "SD3", "sd3": "SD3", "flux-2": "Flux.2",
    "flux2": "Flux.2", "flux.2": "Flux.2", "flux": "Flux.1", "chroma": "Chroma", "wan2.1": "Wan2.1",
    "wan21": "Wan2.1",
    "wan2.2": "Wan2.2", "wan22": "Wan2.2", "qwen-image": "Qwen-Image", "qwen_image": "Qwen-Image",
    "hunyuan-video": "HunyuanVideo", "hunyuan_video": "HunyuanVideo", "hunyuanvideo": "HunyuanVideo",
    "hidream": "HiDream", "ltx": "LTXV", "lumina": "Lumina2", "z-image": "Z-Image", "zimage": "Z-Image",
    "z_image": "Z-Image", "auraflow": "AuraFlow", "kolors": "Kolors", "anima": "Anima",
    "stable-cascade": "Stable Cascade", "pixart": "PixArt",
}  # fmt: skip


def claimed_family(metadata: Mapping[str, str]) -> tuple[str, str] | None:
    """The family that the metadata claims, and the key that says it; None if unknown."""
    for key in ("modelspec.architecture", "ss_base_model_version"):
        value = metadata.get(key, "").strip().lower()
        for beginning, family in _FAMILIES.items() if value else ():
            if value.startswith(beginning):
                return family, key
    return None

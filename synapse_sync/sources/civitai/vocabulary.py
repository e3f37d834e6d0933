"""Civitai's words in ours: model types, file formats and the parts of an AIR. Every one of them is an open set."""

from __future__ import annotations

import re

from synapse_sync.core.artifact import MODEL_TYPES, format_of, type_for
from synapse_sync.core.reference import Reference
from synapse_sync.sources.civitai.schema import Model, ModelVersion

#: What files are called that models are not.
_FILE_TYPES = {
    "config": "config", "diffusionmodel": "diffusion_model", "negative": "embedding", "workflow": "workflow",
}  # fmt: skip
_FORMATS = {
    "safetensor": "safetensors", "pickletensor": "pickle", "gguf": "gguf", "diffusers": "diffusers",
    "core ml": "coreml", "onnx": "onnx",
}  # fmt: skip
#: The AIR's word for each type; a set, because the site renames them and old AIRs stay in use.
_AIR_TYPES = {
    "checkpoint": {"checkpoint", "diffusionmodel", "unet"}, "lora": {"lora"}, "dora": {"dora", "lora"},
    "locon": {"lycoris", "locon", "lora"}, "textualinversion": {"embedding"}, "hypernetwork": {"hypernet"},
    "controlnet": {"controlnet"}, "vae": {"vae"}, "upscaler": {"upscaler"}, "motionmodule": {"motion"},
}  # fmt: skip
_SDXL = {"sdxl", "pony", "illustrious", "noobai"}
#: Beginnings of base models whose ecosystem is certain; for others nothing is said.
_ECOSYSTEMS = (
    ("SD 1.", {"sd1", "sd15"}), ("SD 2.", {"sd2"}), ("SDXL", _SDXL), ("Illustrious", _SDXL), ("NoobAI", _SDXL),
    ("Flux.1 D", {"flux1"}), ("Flux.1 S", {"flux1"}),
)  # fmt: skip


def _key(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.casefold())


def model_type(word: str | None) -> str | None:
    """Our type for the site's; `other` for what we have no word for, None where the site says nothing."""
    if not word:
        return None
    if (known := type_for(word)) is not None:
        return known
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s-]+", "_", word).casefold()
    return snake if snake in MODEL_TYPES else "other"


def file_role(word: str) -> str:
    """Our type for the site's type of a file, where it says more than its model's; else `model`.

    Not "Model" alone: "Pruned Model", "Archive" and "Training Data" leave the type to the model as well.
    """
    return _FILE_TYPES.get(_key(word)) or type_for(word) or "model"


def file_format(name: str, word: str | None) -> str:
    """The format of a file: what its ending says, and where that says nothing, the site's word.

    The ending decides what a user interface will do with the file: a `.pt` is unpickled, whatever a page says.
    """
    ending = format_of(name)
    return ending if ending != "other" else _FORMATS.get((word or "").casefold(), "other")


def air_warnings(reference: Reference, version: ModelVersion, model: Model | None) -> tuple[str, ...]:
    """Where an AIR says something else about kind and ecosystem than the site: words drift, so it is no error."""
    warnings: list[str] = []
    kinds, ecosystems = _air_words(version, model)
    if reference.kind and kinds and reference.kind.casefold() not in kinds:
        warnings.append(f"the AIR says `{reference.kind}`, Civitai says `{sorted(kinds)[0]}`")
    if reference.ecosystem and ecosystems and reference.ecosystem.casefold() not in ecosystems:
        says = version.base_model or sorted(ecosystems)[0]
        warnings.append(f"the AIR is for `{reference.ecosystem}`, Civitai says `{says}`")
    return tuple(warnings)


def _air_words(version: ModelVersion, model: Model | None) -> tuple[set[str], set[str]]:
    site_type = (model.type if model else None) or version.model.type or ""
    kinds = set(_AIR_TYPES.get(_key(site_type), ()))
    base = (version.base_model or "").casefold()
    # "Pony V7" is of another family, so this one has to match as a whole.
    ecosystems = set(_SDXL) if base == "pony" else set()
    for beginning, words in _ECOSYSTEMS:
        if base.startswith(beginning.casefold()):
            ecosystems |= words
    own = re.fullmatch(r"urn:air:([^:]+):([^:]+):.*", version.air or "", re.IGNORECASE)
    if own:
        ecosystems.add(own[1].casefold())
        kinds.add(own[2].casefold())
    return kinds, ecosystems

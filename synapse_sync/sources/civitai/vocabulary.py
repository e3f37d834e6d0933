"""Civitai's words in those of synapse: types, formats and the parts of an AIR. All of them are open sets."""

from __future__ import annotations

import re

from synapse_sync.core.artifact import MODEL_TYPES, format_of, type_for
from synapse_sync.core.reference import Reference
from synapse_sync.sources.civitai.schema import Model, ModelVersion

#: The types of files that no model has.
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
    "aestheticgradient": {"ag"},
}  # fmt: skip
_SDXL = {"sdxl", "pony", "illustrious", "noobai"}
#: The beginnings of base models whose ecosystem is certain; others are not compared.
_ECOSYSTEMS = (
    ("SD 1.", {"sd1", "sd15"}), ("SD 2.", {"sd2"}), ("SDXL", _SDXL), ("Illustrious", _SDXL), ("NoobAI", _SDXL),
    ("Flux.1 D", {"flux1"}), ("Flux.1 S", {"flux1"}),
)  # fmt: skip


def _key(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.casefold())


def model_type(word: str | None) -> str | None:
    """Return the type for the site's word; `other` for an unknown word, None if the site says nothing."""
    if not word:
        return None
    if (known := type_for(word)) is not None:
        return known
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s-]+", "_", word).casefold()
    return snake if snake in MODEL_TYPES else "other"


def file_role(word: str) -> str:
    """Return the role for the site's type of a file, if that is more exact than its model's; else `model`.

    Not "Model" alone: "Pruned Model", "Archive" and "Training Data" leave the type to the model as well.
    """
    return _FILE_TYPES.get(_key(word)) or type_for(word) or "model"


def file_format(name: str, word: str | None) -> str:
    """Return the format of a file: that of its ending or, for an unknown ending, the site's word.

    The ending decides how a UI reads the file: a `.pt` is unpickled, whatever its page says.
    """
    ending = format_of(name)
    return ending if ending != "other" else _FORMATS.get((word or "").casefold(), "other")


def air_warnings(reference: Reference, version: ModelVersion, model: Model | None) -> tuple[str, ...]:
    """Return warnings if an AIR and the site differ in kind or ecosystem: words change, so it is no error."""
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

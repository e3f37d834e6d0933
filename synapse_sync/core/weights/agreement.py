"""Agreement between a site's words about a model and its file's header: which counts, and contradictions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.size_text import size_text
from synapse_sync.core.weights.families import base_word, family_group, is_whole_by_custom
from synapse_sync.core.weights.identify import Weights

#: Formats whose header says what the file is.
_READABLE = frozenset({"safetensors", "gguf"})
#: Types that say nothing about the kind of weights.
_SILENT = frozenset({None, "other"})
#: The largest usual files of a type, in bytes. Beyond them, the type itself is in doubt.
LARGEST = {"lora": 1_600_000_000, "embedding": 50_000_000}
#: The types that a file of an unknown one may be; there are more, and most layouts separate these.
_POSSIBLE = ("checkpoint", "diffusion_model", "lora", "vae", "text_encoder", "controlnet")
#: How many checkpoints a warning names.
_SHOWN = 3
#: Kinds that a UI keeps in the same folder, or that one word of the site may mean.
_SAME = ({"checkpoint", "diffusion_model"}, {"controlnet", "model_patch"}, {"vae", "vae_approx"})
#: The types of files that are for one base model, or are one.
_FOR_A_BASE = frozenset(
    {"checkpoint", "diffusion_model", "lora", "embedding", "controlnet", "ip_adapter", "motion_module"}
)
_SHARD = re.compile(r"-00001-of-\d{5}\.[a-z]+\Z")


@dataclass(frozen=True, slots=True)
class Doubt:
    """A file whose header is needed to know the type of its model.

    `kinds` are the types in question: only a target that keeps them apart needs the answer. Without any, it
    is needed in any case, as the site seems to be wrong.
    """

    file: Artifact
    kinds: tuple[str, ...] = ()


def file_of(model: LockedModel) -> Artifact | None:
    """The file whose header says what a model is; None if no single file does."""
    files = [artifact for artifact in model.artifacts if artifact.format in _READABLE]
    if len(files) > 1:  # the parts of one model, in as many files
        files = [artifact for artifact in files if _SHARD.search(artifact.filename)]
    return files[0] if len(files) == 1 else None


def says_type(model: LockedModel) -> bool:
    """Whether a site or the manifest says the type of a model."""
    return model.card.type not in _SILENT


def doubt_about(model: LockedModel) -> Doubt | None:
    """The doubt about the type of a model; None if the site's words settle it.

    They do not where the site says no type, where a checkpoint may be a diffusion model alone, and where the size
    contradicts the type.
    """
    if (file := file_of(model)) is None:
        return None
    said = model.card.type
    if len(model.artifacts) == 1 and file.role != "model":
        return None
    if said in _SILENT:
        return Doubt(file, _POSSIBLE)
    if said == "checkpoint" and len(model.artifacts) == 1 and file.format == "safetensors":
        settled = is_whole_by_custom(model.card.base_model)
        return None if settled else Doubt(file, ("checkpoint", "diffusion_model"))
    return Doubt(file) if file.size > LARGEST.get(said or "", file.size) else None


def with_header(model: LockedModel, file: Artifact, weights: Weights) -> tuple[LockedModel, str | None]:
    """The model with what its file's header says where the site says less, and a warning about a contradiction."""
    kind, said = weights.type, model.card.type
    model, file = with_facts(model, file, weights)
    if kind is None:
        return model, None
    if said in _SILENT:
        return replace(model, card=replace(model.card, type=kind)), None
    if kind == said:
        return model, None
    if any({kind, said} <= same for same in _SAME):
        artifacts = tuple(replace(one, role=kind) if one is file else one for one in model.artifacts)
        return replace(model, artifacts=artifacts), None
    return model, contradiction(model, file, weights, typed=False)


def with_facts(model: LockedModel, file: Artifact, weights: Weights) -> tuple[LockedModel, Artifact]:
    """The model and its file with the precision and the base of the header, where the site says neither.

    The header of the first of several parts says nothing about the precision of the others.
    """
    alone = len(model.artifacts) == 1
    told = replace(file, precision=weights.precision) if alone and file.precision is None else file
    artifacts = tuple(told if one is file else one for one in model.artifacts)
    card = replace(model.card, base_model=model.card.base_model or base_of(weights))
    return replace(model, card=card, artifacts=artifacts), told


def with_last_facts(model: LockedModel, old: LockedModel | None) -> LockedModel:
    """The model with the base and the precision that its last pin has for the same bytes, where none is known now.

    A header said them then, and nothing reads it again for every lock.
    """
    known = {artifact.sha256: artifact for artifact in old.artifacts} if old is not None else {}
    if old is None or not all(artifact.sha256 in known for artifact in model.artifacts):
        return model
    artifacts = (
        replace(each, precision=each.precision or known[each.sha256].precision) for each in model.artifacts
    )
    card = replace(model.card, base_model=model.card.base_model or old.card.base_model)
    return replace(model, card=card, artifacts=tuple(artifacts))


def base_of(weights: Weights) -> str | None:
    """The base model of a file that is for one, in a word; None if unknown, or if several kinds share the file."""
    return base_word(weights.family, weights.bases) if weights.type in _FOR_A_BASE else None


def contradiction(model: LockedModel, file: Artifact, weights: Weights, *, typed: bool) -> str | None:
    """A warning if the header contradicts the type, or the site's base; None otherwise.

    `typed` says that the type is the manifest's word.
    """
    kind, said = weights.type, model.card.type
    here = f"`{file.filename}` ({size_text(file.size)})"
    if kind is not None and said not in (kind, *_SILENT) and not any({kind, said} <= same for same in _SAME):
        if typed:
            return f"`{model.name}`: synapse.toml says {_words(said)}, but {here} is {_article(weights)}"
        return (
            f"`{model.name}`: the site says {_words(said)}, but {here} is {_article(weights)}; "
            f"if the file is right, write `type = '{kind}'` into its entry"
        )
    wanted, found = family_group(model.card.base_model), family_group(weights.family)
    if kind in _FOR_A_BASE and wanted is not None and found not in (None, wanted):
        return f"`{model.name}`: the site says that it is for {model.card.base_model}, but {here} is for {found}"
    return None


def _words(kind: str | None) -> str:
    return (kind or "nothing").replace("_", " ").replace("lora", "LoRA").replace("vae", "VAE")


def _article(weights: Weights) -> str:
    words = _words(weights.kind)
    family = f" ({weights.family})" if weights.family else ""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}{family}"


def without_base(
    changed: Sequence[str], models: Sequence[LockedModel], headers: Mapping[str, Weights]
) -> list[str]:
    """A warning for each changed adapter that none of the declared checkpoints can use.

    `changed` are names of models; `headers` are answers about the files of some models, by the models' names. A
    model of an unknown family silences the warning: it may be the one.
    """
    names, kinds = set(changed), ("lora", "embedding", "controlnet", "ip_adapter")
    adapters = [model for model in models if model.name in names and model.card.type in kinds]
    if not adapters:
        return []
    bases = [model for model in models if model.card.type in ("checkpoint", "diffusion_model")]
    groups = {model.name: _group(model, headers) for model in bases}
    if not bases or None in groups.values():
        return []
    notes = []
    for model in adapters:
        group = _group(model, headers)
        if group is None or group in groups.values():
            continue
        others = ", ".join(f"`{base.name}` is for {_shown(base, headers)}" for base in bases[:_SHOWN])
        notes.append(f"`{model.name}` is for {_shown(model, headers)}, but {others}")
    return notes


def _group(model: LockedModel, headers: Mapping[str, Weights]) -> str | None:
    if (group := family_group(model.card.base_model)) is not None:
        return group
    weights = headers.get(model.name)
    return None if weights is None else family_group(weights.family)


def _shown(model: LockedModel, headers: Mapping[str, Weights]) -> str:
    weights = headers.get(model.name)
    return model.card.base_model or (weights.family if weights is not None else None) or "an unknown base"

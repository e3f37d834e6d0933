"""Identify: say what a file of weights is, by its header alone."""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.weights.adapter import base_of, read_adapter
from synapse_sync.core.weights.autoencoder import AUTOENCODERS
from synapse_sync.core.weights.diffusion import DIFFUSION
from synapse_sync.core.weights.encoder import IMAGE_ENCODERS, TEXT_ENCODERS
from synapse_sync.core.weights.extension import BESIDE, CONTROLNETS, UPSCALERS
from synapse_sync.core.weights.header import Header, Tensor
from synapse_sync.core.weights.precision import precision_of
from synapse_sync.core.weights.rule import Match, Rule, Table, View, first
from synapse_sync.core.weights.training import claimed_family, training_of
from synapse_sync.core.weights.unet import ANY_UNET, PACKED_UNETS, UNETS

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The answer about a file of weights.

    `kind` is one of `KINDS`, None if unknown. `family` is the architecture ("SDXL", "Flux.1", "T5-XXL v1.1"), None
    if unknown or if several families share the header. `bases` are all models that have this header. `variants` are
    words such as "inpainting" or "image-to-video". `parts` are the kinds of weights inside a checkpoint. `training`
    holds facts of the metadata. `evidence` says what was seen, and which program's rules were followed.
    """

    kind: str | None = None
    family: str | None = None
    bases: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    precision: str | None = None
    parts: tuple[str, ...] = ()
    training: tuple[tuple[str, str], ...] = ()
    evidence: tuple[str, ...] = ()

    @property
    def type(self) -> str | None:
        """The type of model that a manifest and the layouts call this kind; None if they have none."""
        return _TYPES.get(self.kind or "", self.kind)


#: The kinds of adapters, which all UIs keep in the folder of LoRAs.
ADAPTER_KINDS = ("lora", "locon", "loha", "lokr", "dora", "oft", "glora", "ia3")
_TYPES = {**dict.fromkeys(ADAPTER_KINDS, "lora"), "t2i_adapter": "controlnet"}

#: The beginnings of names that say which part of a checkpoint a tensor belongs to. The longest match counts.
_PARTS = {
    "diffusion_model": ("model.diffusion_model.", "model.model.", "diffusion_model."),
    "vae": ("first_stage_model.", "model.first_stage_model.", "vae.", "pretransform.model.", "audio_vae."),
    "text_encoder": ("cond_stage_model.", "conditioner.", "text_encoders.", "text_encoder.", "text_encoder_2.",
                     "text_encoder_3."),
    "clip_vision": ("embedder.model.visual.", "conditioner.embedders.0.open_clip.model.visual.", "clip_vision."),
    "controlnet": ("control_model.",),
    "ema": ("model_ema.",),
}  # fmt: skip
#: The same by the first word of the name, the longest beginning first.
_BEGINNINGS: dict[str, list[tuple[str, str]]] = {}
for _beginning, _part in sorted(((one, part) for part, all_ in _PARTS.items() for one in all_), reverse=True):
    _BEGINNINGS.setdefault(_beginning.partition(".")[0], []).append((_beginning, _part))
#: Wrappers of a lone model, which savers and trainers put before all names.
_WRAPPERS = (
    "model.", "net.", "module.", "_orig_mod.", "transformer.", "unet.", "dit.", "diffusion_model.",
    "denoiser.", "vae.",
    "params_ema.", "params.",
)  # fmt: skip
#: Wrappers of a text encoder inside a checkpoint.
_CLIP_WRAPPERS = (
    "clip_l.transformer.", "clip_g.transformer.", "clip_h.transformer.", "t5xxl.transformer.", "transformer.",
    "model.",
    "embedders.0.transformer.", "embedders.1.model.", "embedders.0.model.",
)  # fmt: skip
#: Ends that ways to quantise put to the name of a weight in place of `.weight`.
_QUANTISED = (".qweight", ".weight_packed", ".weight._data", ".weight.qdata")
#: Ends of the tensors beside a quantised weight.
_BESIDE = (
    ".scale_weight", ".scale_input", ".weight_scale", ".weight_scale_2", ".input_scale", ".comfy_quant", ".wscales",
    ".wtscale", ".wcscales", ".smooth", ".smooth_orig", ".smooth_factor", ".smooth_factor_orig", ".proj_down",
    ".proj_up",
    ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", "bitsandbytes__nf4", "bitsandbytes__fp4",
    ".SCB",
    ".qzeros", ".scales", ".g_idx", "._scale", ".weight_shape",
)  # fmt: skip
#: The facts of the metadata that the answer depends on, besides the family that it claims: in a GGUF file, its
#: architecture and how it was quantised, and the shapes that tensors had before that.
_FACTS = frozenset({"general.architecture", "general.file_type"})
_SHAPE = "comfy.gguf.orig_shape."
_CHECKPOINT_PARTS = ("vae", "text_encoder", "clip_vision")


#: The answers so far, by `_outline`: of thousands of LoRAs, most have the tensors of another one.
_known: dict[bytes, Weights] = {}
_MOST_KNOWN = 1_000


def identify(header: Header) -> Weights:
    """Say what the file with this header is."""
    outline = _outline(header)
    if (found := _known.get(outline)) is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        found = _known[outline] = _judged(header)
    training = training_of(header.metadata)
    return replace(found, training=training) if training else found


def _outline(header: Header) -> bytes:
    """A digest of all that `_judged` looks at."""
    facts = [(key, header.metadata[key]) for key in header.metadata if key in _FACTS or key.startswith(_SHAPE)]
    seen = (header.format, list(header.tensors.items()), claimed_family(header.metadata), facts)
    return hashlib.sha256(marshal.dumps(seen, 2)).digest()  # later versions write equal values in several ways


def _judged(header: Header) -> Weights:
    """The answer by the tensors, and by those few facts of the metadata that count."""
    tensors = _logical(header)
    found = _identified(tensors, header.metadata)
    if found.kind is None and header.format == "gguf":
        found = _by_architecture(header.metadata) or found
    return replace(found, precision=precision_of(header))


def _logical(header: Header) -> Tensors:
    """The tensors of the model itself, without those that describe how it was quantised."""
    found: dict[str, Tensor] = {}
    for name, tensor in header.tensors.items():
        if name.endswith(_BESIDE):
            continue
        if name.endswith(_QUANTISED):
            end = next(end for end in _QUANTISED if name.endswith(end))
            name, tensor = f"{name.removesuffix(end)}.weight", ("packed", tensor[1])
        if (shape := header.metadata.get(_SHAPE + name)) is not None:
            tensor = (tensor[0], _shape(shape) or tensor[1])
        found[name] = tensor
    return found


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.strip("[]").split(",")
    return tuple(int(size) for size in sizes) if all(size.strip().isdigit() for size in sizes) else ()


def _identified(tensors: Tensors, metadata: Mapping[str, str]) -> Weights:
    if (found := _embedding(tensors)) is not None:
        return found
    if any(name.startswith("lllite_") for name in tensors):  # ControlNet-LLLite, which kohya made for SDXL alone
        return Weights(kind="controlnet", family="SDXL", bases=("SDXL ControlNet-LLLite",), evidence=("lllite_",))
    # An adapter of images for faces holds a LoRA as well.
    if not any(name.startswith("ip_adapter.") for name in tensors) and (found := _adapter(tensors, metadata)):
        return found
    parts = _split(tensors)
    if set(parts) - {"", "ema"}:
        return _composed(parts) or _lone(tensors) or Weights()
    return _lone(tensors) or Weights()


def _told(
    match: Match, kind: str | None = None, parts: tuple[str, ...] = (), half: tuple[str, ...] = ()
) -> Weights:
    rule = match.rule
    return Weights(
        kind=kind or rule.kind or None,
        family=rule.family,
        bases=rule.bases,
        variants=(*rule.variants, *half),
        parts=parts,
        evidence=match.evidence,
    )


def _split(tensors: Tensors) -> dict[str, dict[str, Tensor]]:
    """The tensors by the part of a checkpoint, under their names within it; "" holds those of no known part."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        for beginning, part in _BEGINNINGS.get(name.partition(".")[0], ()):
            if name.startswith(beginning):
                parts.setdefault(part, {})[name.removeprefix(beginning)] = tensor
                break
        else:
            parts.setdefault("", {})[name] = tensor
    return parts


def _composed(parts: dict[str, dict[str, Tensor]]) -> Weights | None:
    """A file whose names say which part they belong to: a checkpoint, or one part of it alone."""
    rest = parts.get("", {})
    if "controlnet" in parts and (match := first(CONTROLNETS, View(parts["controlnet"].items()))) is not None:
        return _told(match)
    model = parts.get("diffusion_model")
    others = tuple(part for part in _CHECKPOINT_PARTS if part in parts)
    if model is None and len(rest) > 20 and others and (match := _model_match(_unwrapped(rest))) is not None:
        return _told(match, "checkpoint", parts=("diffusion_model", *others))
    if model is not None:
        kind = "checkpoint" if others else "diffusion_model"
        inside = ("diffusion_model", *others) if others else ()
        seen = {**{name: rest[name] for name in islice(rest, 200)}, **model}
        if _is_mixed(View(seen.items())):
            return Weights(kind=kind, parts=inside, evidence=(_MIXED,))
        match = _model_match(seen)
        if match is not None:
            return _told(match, kind, parts=inside)
        if others:
            return Weights(kind=kind, parts=inside, evidence=("names begin as in a checkpoint",))
        return _lone({f"model.{name}": tensor for name, tensor in model.items()})
    return _lone_part(parts)


def _lone_part(parts: dict[str, dict[str, Tensor]]) -> Weights | None:
    if len(parts.get("", {})) > max(map(len, (part for name, part in parts.items() if name)), default=0):
        return None  # most of it is something else
    if "vae" in parts and (match := first(AUTOENCODERS, view := View(parts["vae"].items()))) is not None:
        return _told(match, "vae", half=_half(view))
    if "text_encoder" in parts:
        for inner in _stripped(parts["text_encoder"], _CLIP_WRAPPERS):
            if (match := first(TEXT_ENCODERS, View(inner.items()))) is not None:
                return _told(match)
    if "clip_vision" in parts and (match := first(IMAGE_ENCODERS, View(parts["clip_vision"].items()))) is not None:
        return _told(match)
    return None


def _stripped(tensors: Tensors, wrappers: Iterable[str]) -> Iterable[Tensors]:
    """The tensors as they are, and those below each of the wrappers."""
    yield tensors
    for wrapper in wrappers:
        inner = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items() if name.startswith(wrapper)}
        if inner:
            yield inner


def _unwrapped(tensors: Tensors) -> Tensors:
    """The tensors below the wrapper that most names share; as they are if there is no such one."""
    for wrapper in _WRAPPERS:
        inner = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items() if name.startswith(wrapper)}
        if len(inner) > 0.8 * len(tensors):
            return inner
    return tensors


_MIXED = "the tensors of several models"


def _is_mixed(view: View) -> bool:
    """Whether the blocks of a transformer are beside those of a U-Net: then the file is neither of the two."""
    return _ANY_UNET.holds(view) and first(DIFFUSION, view) is not None


def _half(view: View) -> tuple[str, ...]:
    """The variant of an autoencoder of which one half is missing."""
    halves = [half for half in ("decoder", "encoder") if view.has(half)]
    return (f"{halves[0]} only",) if len(halves) == 1 else ()


def _model_match(tensors: Tensors) -> Match | None:
    view = View(tensors.items())
    return first(DIFFUSION, view) or first(UNETS, view) or first(PACKED_UNETS, view)


def _lone(tensors: Tensors) -> Weights | None:
    """A file of one model, as its names stand or below a wrapper."""
    seen = tensors
    for _ in range(3):
        if (found := _plain(View(seen.items()))) is not None:
            return found
        if (renamed := _as_saved(seen)) and (found := _plain(View(renamed.items()))) is not None:
            return found
        inner = _unwrapped(seen)
        if inner is seen:
            return None
        seen = inner
    return None


#: Beginnings that savers left out, or put in between, and those by which the tables know the tensors.
_RESPELT = (
    ("model.language_model.", "model."), ("language_model.model.", "model."), ("model.visual.", "visual."),
    ("layers.", "model.layers."), ("embed_tokens.", "model.embed_tokens."),
    ("encoder.layers.", "{}encoder.layers."),
    ("embeddings.", "{}embeddings."),
)  # fmt: skip


def _as_saved(tensors: Tensors) -> Tensors:
    """The tensors of an encoder by the names that the tables know; empty if they have those already."""
    part = ""
    if "embeddings.token_embedding.weight" in tensors:
        part = "text_model."
    elif "embeddings.patch_embedding.weight" in tensors:
        part = "vision_model."
    elif not any(name in tensors for name in _LANGUAGE):
        return {}
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        old, new = next((row for row in _RESPELT if name.startswith(row[0])), ("", ""))
        found[new.format(part) + name.removeprefix(old)] = tensor
    return found


_LANGUAGE = (
    "model.language_model.embed_tokens.weight", "language_model.model.embed_tokens.weight", "embed_tokens.weight",
)  # fmt: skip


#: The tables in their order, with the kind of all rows where the rows have none. Files that extend a model share
#: names with it, so their tables come first.
_TABLES: tuple[tuple[Table, str | None], ...] = (
    (BESIDE, None), (CONTROLNETS, None), (DIFFUSION, "diffusion_model"), (UNETS, "diffusion_model"),
    (PACKED_UNETS, "diffusion_model"),
    (AUTOENCODERS, "vae"), (TEXT_ENCODERS, None), (IMAGE_ENCODERS, None), (UPSCALERS, None),
)  # fmt: skip


def _plain(view: View) -> Weights | None:
    for rules, kind in _TABLES:
        if (match := first(rules, view)) is None:
            continue
        if rules is DIFFUSION and _is_mixed(view):
            return Weights(kind=kind, evidence=(_MIXED,))
        return _told(match, kind, half=_half(view) if rules is AUTOENCODERS else ())
    if _ANY_UNET.holds(view):
        return Weights(kind="diffusion_model", evidence=_ANY_UNET.evidence(view))
    return None


_ANY_UNET = Rule(None, (), ANY_UNET, "ComfyUI comfy/model_detection.py")


def _adapter(tensors: Tensors, metadata: Mapping[str, str]) -> Weights | None:
    adapter = read_adapter(tensors)
    if adapter.kind is None or adapter.share < 0.5:
        return None
    match = base_of(adapter)
    found = Weights() if match is None else _told(match)
    share = f"{round(adapter.share * 100)}% of the tensors are those of adapters ({adapter.kind})"
    found = replace(
        found,
        kind="lora" if adapter.kind == "full" else adapter.kind,
        variants=(("full difference",) if adapter.kind == "full" else ()) + found.variants,
        evidence=(share, *found.evidence),
    )
    claim = claimed_family(metadata)
    return found if claim is None or claim[0] == found.family else _with_claim(found, *claim)


def _with_claim(found: Weights, claimed: str, key: str) -> Weights:
    """Let the metadata choose among the models that the tensors allow; they never overrule the tensors."""
    stem = _STEMS.get(claimed, claimed)
    fitting = tuple(base for base in found.bases if base.startswith(stem))
    unknown = found.family is None and not found.bases
    if not (fitting or unknown or claimed in _alternatives(found.family or "")):
        return replace(found, evidence=(*found.evidence, f"{key} says {claimed}, which the tensors contradict"))
    return replace(
        found, family=claimed, bases=fitting or found.bases, evidence=(*found.evidence, f"{key} says {claimed}")
    )


#: How the names of a family's models begin, where that is not the family's own name.
_STEMS = {"SD1.x": "Stable Diffusion 1", "SD2.x": "Stable Diffusion 2", "SDXL": "SDXL 1"}


def _alternatives(family: str) -> tuple[str, ...]:
    """`Wan2.1/2.2` stands for Wan2.1 and Wan2.2."""
    first_one, _, rest = family.partition("/")
    stem = first_one.rstrip("0123456789.")
    return (first_one, *(stem + one for one in rest.split("/")))


#: The widths of the words of text encoders, by the names under which embeddings are saved.
_WORDS = {768: "clip_l", 1024: "clip_h", 1280: "clip_g", 4096: "t5xxl", 2048: "t5xl"}
_EMBEDDED = {
    frozenset({"clip_l"}): ("SD1.x", ("Stable Diffusion 1.4", "Stable Diffusion 1.5")),
    frozenset({"clip_h"}): ("SD2.x", ("Stable Diffusion 2.0", "Stable Diffusion 2.1")),
    frozenset({"clip_l", "clip_g"}): ("SDXL", ("SDXL 1.0",)),
    frozenset({"clip_g"}): ("SDXL", ("SDXL 1.0",)),
    frozenset({"clip_l", "clip_g", "t5xxl"}): ("SD3", ("SD3",)),
    frozenset({"clip_l", "t5xxl"}): ("Flux.1", ("Flux.1",)),
    frozenset({"t5xxl"}): (None, ("SD3", "Flux.1")),
}
_MOST_WORDS = 256


def _embedding(tensors: Tensors) -> Weights | None:
    """A few vectors as wide as the words of a text encoder."""
    if not 0 < len(tensors) <= 4:
        return None
    widths = set()
    for name, (_, shape) in tensors.items():
        if name.endswith((".weight", ".bias")) or len(shape) not in (1, 2) or shape[-1] not in _WORDS:
            return None
        if len(shape) == 2 and not 0 < shape[0] <= _MOST_WORDS:
            return None
        widths.add(_WORDS[shape[-1]])
    family, bases = _EMBEDDED.get(frozenset(widths), (None, ()))
    shown = ", ".join(f"{name} {list(shape)}" for name, (_, shape) in tensors.items())
    evidence = (shown[:200], "ComfyUI comfy/sd1_clip.py (load_embed)")
    return Weights(kind="embedding", family=family, bases=bases, evidence=evidence)


#: What `general.architecture` says where the tensors' names are not known, or not read (ComfyUI-GGUF, loader.py).
_ARCHITECTURES: Mapping[str, tuple[str, str | None]] = {
    "flux": ("diffusion_model", "Flux.1"), "sd1": ("diffusion_model", "SD1.x"), "sdxl": ("diffusion_model", "SDXL"),
    "sd3": ("diffusion_model", "SD3"), "aura": ("diffusion_model", "AuraFlow"), "cosmos": ("diffusion_model", None),
    "hidream": ("diffusion_model", "HiDream"), "ltxv": ("diffusion_model", "LTXV"), "wan": ("diffusion_model",
    None),
    "hyvid": ("diffusion_model", "HunyuanVideo"), "lumina2": ("diffusion_model", None),
    "qwen_image": ("diffusion_model", "Qwen-Image"), "t5encoder": ("text_encoder", None),
}  # fmt: skip


def _by_architecture(metadata: Mapping[str, str]) -> Weights | None:
    name = metadata.get("general.architecture", "")
    if name not in _ARCHITECTURES:
        return None
    kind, family = _ARCHITECTURES[name]
    return Weights(kind=kind, family=family, evidence=(f"general.architecture = {name}", "ComfyUI-GGUF loader.py"))

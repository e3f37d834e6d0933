"""Sidecars: files with facts about a model that UIs and managers read beside its weights. Pure.

One row for each kind. The keys are those of the tools' own sources in 2026: A1111's and Forge's user metadata,
StabilityMatrix's `ConnectedModelInfo`, LoRA-Manager's `BaseModelMetadata`. `.civitai.info` is Civitai's own
document, so only its source can write it, and SD.Next reads Civitai's document about the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from synapse_sync.core.artifact import DEFAULT_RATING, MODEL_TYPES, Artifact, ModelCard, Preview, stem_of
from synapse_sync.core.companion import ByteFacts
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.rating import explicitness, may_be_shown
from synapse_sync.core.reference import Reference
from synapse_sync.core.site_facts import SiteFacts
from synapse_sync.layouts import LAYOUTS

Words = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The facts for a sidecar: a locked model, one of its files, and the preview beside it.

    `type` is the type of that file, `layout` names the layout of its target. `path` is the weights' path below the
    root of the target, `preview` that of the preview that UIs show, with forward slashes; `shown` is what is locked
    about it, None for a user's own. `modified` is the weights' time in seconds since 1970, `now` the same as text.
    `site` are facts of the site that the lockfile does not keep; None without an answer.
    """

    model: LockedModel
    artifact: Artifact
    path: str
    layout: str
    type: str | None = None
    preview: str | None = None
    shown: Preview | None = None
    modified: float = 0.0
    now: str = ""
    site: SiteFacts | None = None

    @property
    def card(self) -> ModelCard:
        """The locked facts about the model."""
        return self.model.card

    @property
    def stem(self) -> str:
        """The weights' name without its ending."""
        return stem_of(self.path.rpartition("/")[2])

    @property
    def title(self) -> str:
        """The model's name, or that of its file."""
        return self.card.title or self.stem

    @property
    def reference(self) -> Reference:
        """The pinned version."""
        return self.model.reference

    @property
    def is_civitai(self) -> bool:
        """Whether Civitai's ids of model and version are known."""
        return (
            self.reference.source == "civitai" and bool(self.reference.id) and self.reference.revision is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """One kind of sidecar: the suffix after the weights' stem, the model types that have one, and its content.

    `types` of None means all; `only_civitai` leaves out models of other sites. `words` of None: the site writes it,
    with `of_model` its document about the model, else the one about the version. With `asks`, `words` has facts of
    the site, too. `facts` are those of its keys that change together.
    """

    suffix: str
    words: Callable[[About], Words] | None
    types: frozenset[str] | None = None
    only_civitai: bool = False
    of_model: bool = False
    asks: bool = False
    facts: ByteFacts | None = None


def _a1111(about: About) -> Words:
    """`<stem>.json`, the card that A1111 and Forge let people edit."""
    card, words = about.card, Words()
    named = " ".join(word for word in (card.title, card.version_name) if word)
    words["description"] = named
    if card.base_model:
        version = _sd_version(card.base_model)
        known = version in LAYOUTS[about.layout].generations
        # A word that the UI does not have hides the card. "Unknown" is always shown, but stops the UI from finding
        # the version by itself, so a model of an unknown base has no such key.
        words["sd version"] = version if known else "Unknown"
        if known and about.type == "checkpoint" and LAYOUTS[about.layout].checkpoint_versions:
            words["sd_version_str"] = f"SdVersion.{version}"
    words["activation text"] = _one_line(card.trained_words)
    words["preferred weight"] = 0
    words["notes"] = ""
    if about.is_civitai:
        words["modelId"] = int(about.reference.id)
        words["modelVersionId"] = int(about.reference.revision or 0)
    words["sha256"] = about.artifact.sha256.upper()
    return words


#: Beginnings of base models, in Civitai's words, and the generation of each in those of A1111 and Forge.
_GENERATIONS = (
    ("sd 1", "SD1"), ("sd 2", "SD2"), ("sdxl", "SDXL"), ("illustrious", "SDXL"), ("noobai", "SDXL"),
    ("flux.", "Flux"),
)  # fmt: skip


def _sd_version(base: str) -> str:
    """The generation of a base model, in the words of A1111 and Forge; "Unknown" where they have none."""
    name = base.casefold()
    if name == "pony":  # "Pony V7" is of another family
        return "SDXL"
    return next((version for start, version in _GENERATIONS if name.startswith(start)), "Unknown")


def _one_line(words: Sequence[str]) -> str:
    """Words as one line of a prompt. A1111 puts it into a script of its page, which a line break would end."""
    parts = (" ".join(part.split()) for text in words for part in text.split(","))
    return ", ".join(part for part in parts if part)


#: StabilityMatrix's names of the model types (`CivitModelType`).
_STABILITY_TYPES: Mapping[str, str] = {
    "checkpoint": "Checkpoint", "controlnet": "Controlnet", "embedding": "TextualInversion",
    "hypernetwork": "Hypernetwork", "lora": "LORA", "motion_module": "MotionModule", "upscaler": "Upscaler",
    "vae": "VAE", "wildcards": "Wildcards", "workflow": "Workflows",
}  # fmt: skip


_STABILITY_FORMATS = {"safetensors": "SafeTensor", "pickle": "PickleTensor", "gguf": "GGUF"}


def _stability_matrix(about: About) -> Words:
    """`<stem>.cm-info.json`; SwarmUI reads it as well, with all its keys."""
    card, artifact = about.card, about.artifact
    hashes = {"SHA256": artifact.sha256.upper()}
    if artifact.blake3 is not None:
        hashes["BLAKE3"] = artifact.blake3.upper()
    words: Words = {
        "ModelId": int(about.reference.id),
        "ModelName": about.title,
        "ModelDescription": "" if about.site is None else about.site.description,
        "Nsfw": not may_be_shown(0, card.nsfw, DEFAULT_RATING),
        "Tags": [] if about.site is None else list(about.site.tags),
        "ModelType": _type_word(about),
        "VersionId": int(about.reference.revision or 0),
        "VersionName": card.version_name or "",
        "BaseModel": card.base_model,
        "FileMetadata": _file_words(about),
        "ImportedAt": about.now,
        "Hashes": hashes,
        "TrainedWords": list(card.trained_words),
    }
    if (author := dict(card.license).get("creator")) is not None:
        words["AuthorUsername"] = author
    if artifact.archive is None and (artifact.url.file or "").isdigit():
        words |= {"RemoteFileName": artifact.filename, "RemoteFileId": int(artifact.url.file or 0)}
    if about.shown is not None:
        words["ThumbnailImageUrl"] = about.shown.url.text
    return words


def _type_word(about: About) -> str:
    """The site's own word for the type (`LoCon`), whatever the manifest says; else the usual one."""
    word = None if about.site is None else about.site.type
    return word or _STABILITY_TYPES.get(about.type or "", "Other")


def _file_words(about: About) -> Words:
    words: Words = {"fp": about.artifact.precision, "format": _STABILITY_FORMATS.get(about.artifact.format)}
    if about.site is not None and (size := about.site.sizes.get(about.artifact.sha256)) is not None:
        words["size"] = size
    return words


#: LoRA-Manager's words for the subtypes of LoRAs, by Civitai's type.
_SUB_TYPES = {"locon": "locon", "dora": "dora"}


def _sub_type(about: About) -> str | None:
    """LoRA-Manager's subtype; None for a plain LoRA, which is its default."""
    if about.type in ("checkpoint", "diffusion_model", "embedding"):
        return about.type
    return _SUB_TYPES.get("" if about.site is None else (about.site.type or "").casefold())


def _lora_manager(about: About) -> Words:
    """`<stem>.metadata.json`; the manager itself adds keys to it."""
    card, artifact = about.card, about.artifact
    words: Words = {
        "file_name": about.stem,
        "model_name": about.title,
        "file_path": about.path,
        "size": artifact.size,
        "modified": about.modified,
        "sha256": artifact.sha256,
        "base_model": card.base_model or "Unknown",
        "preview_url": about.preview or "",
        "preview_nsfw_level": explicitness(about.shown.nsfw, card.nsfw) if about.shown is not None else 0,
        "notes": "",
        "from_civitai": about.is_civitai,
        "civitai": None,
        "tags": [] if about.site is None else list(about.site.tags),
        "modelDescription": "" if about.site is None else about.site.description,
    }
    if about.site is not None and (autov3 := about.site.autov3.get(artifact.sha256)) is not None:
        words["autov3"] = autov3
    author = dict(card.license).get("creator")
    if about.is_civitai:
        words["civitai"] = {
            "id": int(about.reference.revision or 0),
            "modelId": int(about.reference.id),
            "name": card.version_name or "",
            "baseModel": card.base_model,
            "trainedWords": list(card.trained_words),
            "publishedAt": card.published,
            "model": {
                "name": about.title,
                "type": _type_word(about),
                **_permissions(dict(card.license)),
            },
            **({} if author is None else {"creator": {"username": author}}),
        }
    if (sub_type := _sub_type(about)) is not None:
        words["sub_type"] = sub_type
    if about.type in ("checkpoint", "diffusion_model", "embedding"):
        words["model_type"] = about.type  # its name before 2026
    else:
        words["usage_tips"] = "{}"
    return words


def _permissions(license: Mapping[str, object]) -> Words:
    """The author's permissions, in the keys of Civitai's API.

    To LoRA-Manager a missing key means that everything is allowed, so all keys exist. A fact that the site did not
    state counts as forbidden.
    """
    uses = str(license.get("allow-commercial-use") or "").split(",")
    return {
        "allowNoCredit": license.get("allow-no-credit") is True,
        "allowCommercialUse": [use for use in uses if use not in ("", "None")],
        "allowDerivatives": license.get("allow-derivatives") is True,
        "allowDifferentLicense": license.get("allow-different-license") is True,
    }


#: The model types that LoRA-Manager manages.
_MANAGED = frozenset({"lora", "checkpoint", "diffusion_model", "embedding"})
#: The model types that A1111 shows as cards.
_CARDS = frozenset({"lora", "checkpoint", "diffusion_model", "embedding", "hypernetwork"})

#: The keys of each kind that are facts of the bytes. The others may have the user's words: notes, tags, weights.
_A1111_FACTS = ByteFacts(
    keys=frozenset({"sha256", "modelId", "modelVersionId"}), known_by=(("sha256",), ("modelVersionId",))
)
#: `customImages` are the user's own; LoRA-Manager keeps them below the site's document.
_LORA_MANAGER_FACTS = ByteFacts(
    keys=frozenset({"sha256", "size", "modified", "civitai", "autov3", "from_civitai", "civitai_deleted"}),
    known_by=(("sha256",), ("civitai", "id")),
    own=frozenset({"customImages"}),
)
_STABILITY_FACTS = ByteFacts(
    keys=frozenset(
        {"ModelId", "VersionId", "VersionName", "VersionDescription", "BaseModel", "Hashes", "FileMetadata",
         "RemoteFileName", "RemoteFileId", "PublishedAt"}
    ),
    known_by=(("Hashes", "SHA256"), ("VersionId",)),
)  # fmt: skip
_VERSION_FACTS = ByteFacts(
    keys=frozenset(
        {"id", "modelId", "name", "files", "images", "downloadUrl", "air", "baseModel", "baseModelType",
         "trainedWords", "createdAt", "updatedAt", "publishedAt", "stats"}
    ),
    known_by=(("id",),),
)  # fmt: skip
_MODEL_FACTS = ByteFacts(
    keys=frozenset({"id", "name", "type", "creator", "stats", "modelVersions"}), known_by=(("id",),)
)

SIDECARS: Mapping[str, Sidecar] = {
    "a1111": Sidecar(suffix=".json", words=_a1111, types=_CARDS, facts=_A1111_FACTS),
    "civitai-info": Sidecar(suffix=".civitai.info", words=None, only_civitai=True, facts=_VERSION_FACTS),
    "lora-manager": Sidecar(
        suffix=".metadata.json", words=_lora_manager, types=_MANAGED, asks=True, facts=_LORA_MANAGER_FACTS
    ),
    "sdnext": Sidecar(
        suffix=".json",
        words=None,
        types=frozenset(MODEL_TYPES) - {"vae"},  # SD.Next lists every `.json` beside a VAE as one
        only_civitai=True,
        of_model=True,
        facts=_MODEL_FACTS,
    ),
    "stability-matrix": Sidecar(
        suffix=".cm-info.json", words=_stability_matrix, only_civitai=True, asks=True, facts=_STABILITY_FACTS
    ),
}

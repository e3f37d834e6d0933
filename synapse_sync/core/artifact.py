"""Artifacts: the files a model consists of, and the words about them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from synapse_sync.core.reference import Reference

#: Kinds of weights that every layout is asked about. The set is open: an unknown type is a valid string that
#: a layout may refuse.
MODEL_TYPES = (
    "audio_encoder", "checkpoint", "clip_vision", "config", "controlnet", "detection", "diffusers",
    "diffusion_model", "embedding", "face_restore", "hypernetwork", "ip_adapter", "latent_upscaler", "lora",
    "model_patch", "motion_module", "other", "sam", "style_model", "text_encoder", "upscaler", "vae",
    "vae_approx", "wildcards", "workflow",
)  # fmt: skip

#: Words that sites and UIs have for these types, in lower case and without signs between the letters.
TYPE_WORDS = {
    "checkpoint": "checkpoint", "lora": "lora", "locon": "lora", "lycoris": "lora", "dora": "lora",
    "textualinversion": "embedding", "hypernetwork": "hypernetwork", "hypernet": "hypernetwork",
    "controlnet": "controlnet", "vae": "vae", "upscaler": "upscaler", "motionmodule": "motion_module",
    "textencoder": "text_encoder", "clip": "text_encoder", "unet": "diffusion_model",
    "clipvision": "clip_vision", "wildcards": "wildcards", "workflows": "workflow",
    "comfyworkflows": "workflow", "detection": "detection", "poses": "other", "aestheticgradient": "other",
}  # fmt: skip


def type_for(word: str) -> str | None:
    """The type that a site or a UI means with a word of its own; None where it is not known."""
    return TYPE_WORDS.get("".join(char for char in word.casefold() if char.isascii() and char.isalnum()))


#: Formats for which a JSON or HTML document may be the file itself; for others it is what came instead of it.
DOCUMENT_FORMATS = frozenset({"config", "text"})

#: How explicit a preview may be: Civitai's ratings, each with its bit in `nsfwLevel`.
RATINGS = {"pg": 1, "pg13": 2, "r": 4, "x": 8, "xxx": 16}
DEFAULT_RATING = "pg13"

#: Formats that are code as much as data: loading one may run it.
PICKLE_FORMATS = frozenset({"pickle"})
#: Formats that hold weights; what else lies in a repository comes along with them.
WEIGHT_FORMATS = frozenset({"safetensors", "gguf", "pickle", "onnx"})

_FORMATS = {
    "safetensors": "safetensors", "sft": "safetensors", "gguf": "gguf", "onnx": "onnx",
    "ckpt": "pickle", "pt": "pickle", "pth": "pickle", "pt2": "pickle", "bin": "pickle", "pkl": "pickle",
    "zip": "archive", "tar": "archive", "tgz": "archive", "gz": "archive", "bz2": "archive", "xz": "archive",
    "7z": "archive", "rar": "archive", "json": "config", "yaml": "config", "yml": "config",
    "txt": "text", "md": "text", "html": "text", "htm": "text", "xml": "text", "csv": "text", "py": "text",
    "jsonl": "config", "ipynb": "config", "gitattributes": "text", "gitignore": "text",
}  # fmt: skip
#: Documents that repositories and archives contain under a name without an ending.
_DOCUMENTS = frozenset({
    "license", "licence", "readme", "notice", "copying", "authors", "changelog", "version", "checkpoint",
    "use_policy", "makefile", "dockerfile",
})  # fmt: skip
#: The number of a version or of a file (`v1.5`) is no ending.
_ENDING = re.compile(r".\.[A-Za-z][A-Za-z0-9_-]{0,15}\Z", re.DOTALL)


def format_of(filename: str) -> str:
    """The format that a file name promises: safetensors, gguf, onnx, pickle, archive, config, text or other."""
    name = filename.rpartition("/")[2].casefold()
    return "text" if name in _DOCUMENTS else _FORMATS.get(name.rpartition(".")[2], "other")


def has_ending(filename: str) -> bool:
    """Whether a file name has an ending like `.bin`; the names of known documents (`LICENSE`) need none."""
    name = filename.rpartition("/")[2]
    return name.casefold() in _DOCUMENTS or _ENDING.search(name) is not None


def stem_of(filename: str) -> str:
    """A file name without its ending, if it has one that is known: `v3.2` is a name and no ending."""
    stem, _, _ = filename.rpartition(".")
    return stem if stem and format_of(filename) != "other" else filename


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The archive that a file is taken from: its bytes, and what the file (`member`) is called in there.

    That name is only ever compared with those of the archive; it is no path of ours.
    """

    member: str
    sha256: str
    size: int
    extra: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file to have: which bytes, and where they can be got.

    `filename` is a `SafePath` text (repositories keep their folders); `size` is in bytes. `sha256`, `blake3` and
    `git_sha1` are lower-case hexadecimal; the last one is known for a file in git for which the site promises no
    other digest. `url` and `mirrors` are references that a source can `locate`, never signed and without a token.
    `scan` is the site's word: "success", "pending", "danger", "error" or None. With `archive` they are the places
    of that archive, of which this is a member; size and digests are the member's in any case.
    """

    filename: str
    size: int
    sha256: str
    url: Reference
    blake3: str | None = None
    git_sha1: str | None = None
    format: str = "other"
    precision: str | None = None
    role: str = "model"
    mirrors: tuple[Reference, ...] = ()
    scan: str | None = None
    trust: str | None = None  # "first-use": nobody promised this digest before we saw the bytes
    archive: Archive | None = None
    extra: tuple[tuple[str, object], ...] = ()  # keys of a newer minor version, kept as they are

    @property
    def given(self) -> Archive | Artifact:
        """What its places give: the archive that it is in, or else the file itself."""
        return self.archive or self

    @property
    def locations(self) -> tuple[Reference, ...]:
        """Every location of the bytes: the stable one first, then the mirrors."""
        return (self.url, *self.mirrors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file that a source offers, before one is chosen; what the site does not say is None.

    `file_id` is the site's own id; `kind` the site's file type in lower case ("model", "pruned model", "vae",
    "training data", "config"); `size_class` is "full", "pruned" or None; `quant` e.g. "q8_0".
    """

    filename: str
    url: Reference
    size: int | None = None
    sha256: str | None = None
    blake3: str | None = None
    git_sha1: str | None = None
    format: str = "other"
    precision: str | None = None
    size_class: str | None = None
    quant: str | None = None
    kind: str = "model"
    role: str = "model"
    primary: bool = False
    file_id: str | None = None
    scan: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """An image or film that shows what a model does; `type` is the site's word, not the file ending.

    `id` is the site's number for the image, where known; `nsfw` the bit of its rating, 0 where nobody rated it.
    """

    url: Reference
    id: int | None = None
    type: str = "image"
    nsfw: int = 0
    width: int | None = None
    height: int | None = None
    extra: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Words about a model version, as the lockfile keeps them; every field may be unknown.

    `nsfw` has a bit for each rating that the model may show.
    """

    title: str | None = None
    version_name: str | None = None
    type: str | None = None
    base_model: str | None = None
    published: str | None = None
    trained_words: tuple[str, ...] = ()
    license: tuple[tuple[str, object], ...] = ()
    nsfw: int | None = None
    previews: tuple[Preview, ...] = field(default=())

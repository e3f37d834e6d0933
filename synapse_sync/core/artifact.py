"""Artifacts: the files of a model, and the facts about them."""

from __future__ import annotations

import re
from dataclasses import field
from functools import lru_cache

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.reference import Reference

#: The known types of models. The set is open: a layout may refuse an unknown type.
MODEL_TYPES = (
    "aesthetic_gradient", "audio_encoder", "background_removal", "checkpoint", "classifier", "clip_vision",
    "config", "controlnet", "detection", "diffusers", "diffusion_model", "embedding", "face_restore",
    "frame_interpolation", "geometry_estimation", "gligen", "hypernetwork", "ip_adapter", "latent_upscaler", "llm",
    "lora", "model_patch", "motion_module", "optical_flow", "other", "photomaker", "poses", "sam", "style_model",
    "text_encoder", "ultralytics_bbox", "ultralytics_segm", "upscaler", "vae", "vae_approx", "vision_language",
    "wildcards", "workflow",
)  # fmt: skip

#: Types that earlier versions called `other`: where a manifest means that word, it means them as well.
ONCE_OTHER = frozenset({"aesthetic_gradient", "llm", "poses", "vision_language"})

#: Other names of these types at sites and UIs, in lower case, letters and digits only.
TYPE_WORDS = {
    "checkpoint": "checkpoint", "lora": "lora", "locon": "lora", "lycoris": "lora", "dora": "lora",
    "textualinversion": "embedding", "hypernetwork": "hypernetwork", "hypernet": "hypernetwork",
    "controlnet": "controlnet", "vae": "vae", "upscaler": "upscaler", "motionmodule": "motion_module",
    "textencoder": "text_encoder", "clip": "text_encoder", "unet": "diffusion_model",
    "clipvision": "clip_vision", "wildcards": "wildcards", "workflows": "workflow",
    "comfyworkflows": "workflow", "detection": "detection", "poses": "poses", "llm": "llm",
    "aestheticgradient": "aesthetic_gradient", "visionlanguage": "vision_language",
    "classifiers": "classifier", "bbox": "ultralytics_bbox", "segm": "ultralytics_segm",
}  # fmt: skip


def type_for(word: str) -> str | None:
    """The type that a site or a UI calls `word`; None if unknown."""
    return TYPE_WORDS.get("".join(char for char in word.casefold() if char.isascii() and char.isalnum()))


#: Formats whose file may be a JSON or HTML document; for others such a document arrived instead of the file.
DOCUMENT_FORMATS = frozenset({"config", "text"})

#: Civitai's ratings of images, each with its bit in `nsfwLevel`.
RATINGS = {"pg": 1, "pg13": 2, "r": 4, "x": 8, "xxx": 16}
DEFAULT_RATING = "pg13"

#: Formats that may contain code: loading such a file may run it.
PICKLE_FORMATS = frozenset({"pickle"})
#: Formats of weights; all other files of a repository accompany them.
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


@lru_cache(maxsize=1024)  # for each file it is asked ten times
def format_of(filename: str) -> str:
    """The format that a file name states: safetensors, gguf, onnx, pickle, archive, config, text or other."""
    name = filename.rpartition("/")[2].casefold()
    return "text" if name in _DOCUMENTS else _FORMATS.get(name.rpartition(".")[2], "other")


def has_ending(filename: str) -> bool:
    """Whether a file name has an ending like `.bin`; the names of known documents (`LICENSE`) need none."""
    name = filename.rpartition("/")[2]
    return name.casefold() in _DOCUMENTS or _ENDING.search(name) is not None


def stem_of(filename: str) -> str:
    """A file name without its ending, if that is a known one: the `.2` of `v3.2` belongs to the name."""
    stem, _, _ = filename.rpartition(".")
    return stem if stem and format_of(filename) != "other" else filename


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The archive that contains a file: its SHA-256 and size in bytes, and the file's name in it (`member`).

    `git_sha1` is the git hash of an archive in a repository whose site promises no SHA-256 for it.
    That name is only compared with the names in the archive; it never becomes a path.
    """

    member: str
    sha256: str
    size: int
    git_sha1: str | None = None
    extra: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A wanted file: its bytes, and the locations that offer them.

    `filename` is a `SafePath` text (repositories keep their folders); `size` is in bytes. `sha256`, `blake3` and
    `git_sha1` are lower-case hexadecimal; the last one is known for a file in git for which the site promises no
    other digest. `url` and `mirrors` are references that a source can `locate`, never signed and without a token.
    `scan` is the site's verdict: "success", "pending", "danger", "error" or None. With `archive`, the locations are
    those of the archive; size and digests are always those of the file itself. `role` is the type of this very
    file, where the site states one ("vae", "diffusion_model", …), else "model".
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
    trust: str | None = None  # "first-use": the digest is that of the first download, nobody promised it
    archive: Archive | None = None
    extra: tuple[tuple[str, object], ...] = ()  # keys of a newer minor version, kept unchanged

    @property
    def given(self) -> Archive | Artifact:
        """The bytes at its locations: the archive that contains it, or else the file itself."""
        return self.archive or self

    @property
    def locations(self) -> tuple[Reference, ...]:
        """Every location of the bytes: the stable one first, then the mirrors."""
        return (self.url, *self.mirrors)

    @property
    def judged_format(self) -> str:
        """The format by which policy judges the file.

        An earlier version locked the documents of a repository that have no ending, such as a licence, as "other".
        They are in git itself, as no weights are.
        """
        is_document = self.format == "other" and self.git_sha1 is not None and not has_ending(self.filename)
        return "text" if is_document else self.format


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file that a source offers; facts that the site does not state are None.

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
    """The facts about a model version that the lockfile keeps; every field may be unknown.

    `nsfw` has a bit for each rating that the model may show. `gated` is how its authors let accounts in ("auto",
    "manual", "private"); None if they let everybody in, and in lockfiles of versions that did not note it.
    """

    title: str | None = None
    version_name: str | None = None
    type: str | None = None
    base_model: str | None = None
    published: str | None = None
    trained_words: tuple[str, ...] = ()
    license: tuple[tuple[str, object], ...] = ()
    gated: str | None = None
    nsfw: int | None = None
    previews: tuple[Preview, ...] = field(default=())

"""The settings that made an image, and the models that they name. Pure.

Read leniently: each program writes its own words, and Civitai stores whatever an image file contains. The fields
are those of Civitai's `/images` and of the metadata that A1111 and ComfyUI write, as of 2023 to 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from synapse_sync.core.artifact import type_for
from synapse_sync.core.civitai_forms import HASHES
from synapse_sync.core.digest import Digest
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.reference import Reference

#: No image has been made with more models; whatever a hostile file lists beyond that is ignored.
_MOST = 500
#: Words for kinds of models that only the settings of images use.
_KINDS = {
    "model": "checkpoint",
    "embed": "embedding",
    "ti": "embedding",
    "hypernet": "hypernetwork",
    "ad": "detection",
}
_SIZE = re.compile(r"(\d{1,6})\s*[xX×]\s*(\d{1,6})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One model that made an image; facts that the settings do not state are None.

    `kind` is their word for it in lower case (`checkpoint`, `lora`, `model`, `embed` …), "" if they have none.
    `weight` is its strength. `model_id` and `version_id` are Civitai's; `hash` is in lower-case hexadecimal, of
    whatever algorithm and length.
    """

    kind: str = ""
    name: str | None = None
    version_name: str | None = None
    weight: float | None = None
    model_id: int | None = None
    version_id: int | None = None
    hash: str | None = None

    @property
    def type(self) -> str | None:
        """The type of the model in synapse's words; None if it is unknown."""
        return _KINDS.get(self.kind) or type_for(self.kind)

    @property
    def reference(self) -> Reference | None:
        """The version on Civitai or, without its number, the hash; None if the settings only have a name."""
        if self.version_id is not None:
            return Reference("civitai", str(self.model_id or ""), str(self.version_id))
        algorithm = HASHES.get(len(self.hash or ""))
        if algorithm is None or self.hash is None:
            return None
        return Reference("hash", str(Digest(algorithm, self.hash)))


class ImageMeta(Mapping[str, Any]):
    """The settings that made an image: a mapping as the site returns them, with the usual ones as attributes.

    `raw` is that mapping. Civitai returns it flat, or (since 2025) below another `meta`; the attributes look in
    both. A setting that is missing, or not of its kind, is None.
    """

    __slots__ = ("_inner", "raw")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        inner = raw.get("meta")
        self.raw = raw
        self._inner: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}

    def __getitem__(self, name: str) -> Any:
        return self.raw[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"ImageMeta({self.raw!r})"

    def find(self, *names: str) -> Any:
        """Return the first of these settings that exists and is not null, wherever it is."""
        places = (self.raw, self._inner)
        return next((at[name] for name in names for at in places if at.get(name) is not None), None)

    @property
    def prompt(self) -> str | None:
        """The text that describes the image."""
        return _text(self.find("prompt"))

    @property
    def negative_prompt(self) -> str | None:
        """The text that describes what to avoid."""
        return _text(self.find("negativePrompt", "negative prompt", "Negative prompt"))

    @property
    def sampler(self) -> str | None:
        """The name of the sampler."""
        return _text(self.find("sampler", "Sampler"))

    @property
    def seed(self) -> int | None:
        """The seed."""
        return _integer(self.find("seed", "Seed"))

    @property
    def steps(self) -> int | None:
        """The number of steps."""
        return _integer(self.find("steps", "Steps"))

    @property
    def cfg_scale(self) -> float | None:
        """The scale of the guidance."""
        return _number(self.find("cfgScale", "CFG scale"))

    @property
    def clip_skip(self) -> int | None:
        """How many of the last layers of CLIP are left out."""
        return _integer(self.find("clipSkip", "Clip skip"))

    @property
    def size(self) -> tuple[int, int] | None:
        """The width and height of the first pass, in pixels."""
        match = _SIZE.fullmatch(_text(self.find("Size", "size")) or "")
        return None if match is None else (int(match[1]), int(match[2]))

    @property
    def model(self) -> str | None:
        """The name of the checkpoint on the machine that made the image."""
        return _text(self.find("Model", "model"))

    @property
    def model_hash(self) -> str | None:
        """The hash of the checkpoint, in lower case."""
        return _hash(self.find("Model hash", "modelHash"))

    @property
    def hashes(self) -> Mapping[str, str]:
        """The hashes that the program wrote, in lower case, by its names for the files: `model`, `lora:NAME` …"""
        value = self.find("hashes", "Hashes")
        pairs = list(value.items())[:_MOST] if isinstance(value, Mapping) else []
        return {str(name): found for name, each in pairs if (found := _hash(each)) is not None}

    @property
    def resources(self) -> tuple[Resource, ...]:
        """The models that the program which made the image names: by name and mostly by hash."""
        return tuple(_resource(item) for item in _items(self.find("resources")))

    @property
    def civitai_resources(self) -> tuple[Resource, ...]:
        """The models that Civitai's own generator or uploader names: by the number of their version."""
        own = (
            *_items(self.find("civitaiResources", "Civitai resources")),
            *_items(self.find("additionalResources")),
        )
        return tuple(_resource(item) for item in own)

    def models(self, version_ids: Iterable[int] = ()) -> tuple[Resource, ...]:
        """Return every model that made the image, each once; the best known of them first.

        `version_ids` are further versions of Civitai, as an image has them beside its settings.
        """
        hashed = [
            Resource(kind=_kind_in(name), name=_name_in(name), hash=found) for name, found in self.hashes.items()
        ]
        alone = [Resource(kind="model", name=self.model, hash=self.model_hash)] if self.model_hash else []
        more = [Resource(version_id=number) for number in version_ids]
        return _each_once([*self.civitai_resources, *self.resources, *hashed, *alone, *more])


def _each_once(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """The resources without repetitions: of the same version, of the same hash, or of the same name alone."""
    found: list[Resource] = []
    seen: set[tuple[str, object]] = set()
    for resource in resources:
        own: set[tuple[str, object]] = set()
        if resource.version_id is not None:
            own.add(("version", resource.version_id))
        if resource.hash is not None:
            own.add(("hash", resource.hash))
        if not own and resource.name is not None:
            own.add(("name", resource.name.casefold()))
        elif not own:
            continue
        if not own & seen and len(found) < _MOST:
            found.append(resource)
        seen |= own
        if resource.name is not None:
            seen.add(("name", resource.name.casefold()))
    return tuple(found)


def _items(value: object) -> Iterator[Mapping[str, Any]]:
    items = value[:_MOST] if isinstance(value, list) else []
    return (item for item in items if isinstance(item, Mapping))


def _resource(item: Mapping[str, Any]) -> Resource:
    """Read one of `resources`, `civitaiResources` or `additionalResources`."""
    name = _text(item.get("modelName")) or _text(item.get("name"))
    air = _text(item.get("air")) or (name if name and name.lower().startswith("urn:air:") else None)
    model_id, version_id = _ids_in(air)
    return Resource(
        kind=(_text(item.get("type")) or "").casefold(),
        name=None if name == air else name,
        version_name=_text(item.get("modelVersionName")) or _text(item.get("versionName")),
        weight=_number(next((item[key] for key in ("weight", "strength") if item.get(key) is not None), None)),
        model_id=_id(item.get("modelId")) or model_id,
        version_id=_id(item.get("modelVersionId")) or version_id,
        hash=_hash(item.get("hash")),
    )


def _ids_in(air: str | None) -> tuple[int | None, int | None]:
    """The numbers of the model and the version in an AIR of Civitai."""
    match = re.search(r"(?a)\bcivitai:(\d{1,16})@(\d{1,16})\b", air or "")
    return (None, None) if match is None else (_id(match[1]), _id(match[2]))


def _kind_in(name: str) -> str:
    """The kind in a name of `hashes`: `lora:detail` is a `lora`, `model` and `vae` are themselves."""
    return name.partition(":")[0].casefold()


def _name_in(name: str) -> str | None:
    return name.partition(":")[2] or None


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


def _integer(value: object) -> int | None:
    text = _text(value) or ""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(text) if re.fullmatch(r"-?\d{1,20}", text, re.ASCII) else None


def _id(value: object) -> int | None:
    number = _integer(value)
    return number if number is not None and 0 < number < 1 << 53 else None


def _number(value: object) -> float | None:
    text = _text(value) or ""
    # Not `float` alone, which reads `nan` and `inf`.
    return float(text) if re.fullmatch(r"-?\d{1,20}(\.\d{0,40})?([eE][+-]?\d{1,2})?", text, re.ASCII) else None


def _hash(value: object) -> str | None:
    text = (_text(value) or "").removeprefix("0x").lower()
    return text if re.fullmatch(r"[0-9a-f]{8,64}", text) else None

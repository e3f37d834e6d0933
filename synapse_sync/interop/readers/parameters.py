"""The settings that A1111 and its forks write into images, as the models that they name. Pure.

The form is that of A1111's `modules/infotext_utils.py`: the prompt, then `Negative prompt:`, then a last line of
`Key: value` pairs, in which a value with commas is a JSON text. Civitai adds `Civitai resources: [...]`, and
several forks write `Hashes: {...}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from synapse_sync.core.image_meta import ImageMeta, Resource

#: The most characters of the last line, and of pairs in it.
_LONGEST, _PAIRS = 1 << 20, 2_000
_KEY = re.compile(r"\s*([A-Za-z][\w \-/.()]{0,60}):[ \t]*")
_JSON = json.JSONDecoder()
#: `<lora:NAME:WEIGHT>` in a prompt, also with the words of the extensions for other networks.
_NETWORK = re.compile(r"<(lora|lyco|hypernet):([^:<>\n]{1,200})(?::[^<>\n]{0,60})?>")
#: Keys with a list of `name: hash` pairs, and the kinds of these models.
_HASH_LISTS = {"Lora hashes": "lora", "TI hashes": "embed"}
#: Keys that name a model, each with its kind and the key of its hash.
_NAMED = (
    ("Model", "model", "Model hash"),
    ("Refiner", "model", "Refiner hash"),
    ("VAE", "vae", "VAE hash"),
    ("Hires upscaler", "upscaler", ""),
    ("ADetailer model", "ad", ""),
)
#: Upscalers that are part of the programs, and words for no model at all.
_BUILT_IN = frozenset({
    "automatic", "none", "latent", "lanczos", "nearest", "latent (antialiased)", "latent (bicubic)",
    "latent (bicubic antialiased)", "latent (nearest)", "latent (nearest-exact)",
})  # fmt: skip


def read_parameters(text: str) -> tuple[Resource, ...]:
    """The models that made an image, each once; those with a hash or a version first."""
    prompt, settings = _split(text)
    pairs = dict(_pairs(settings))
    hashes = {**dict(_hashes(pairs)), **dict(_hash_lists(pairs))}
    known = ImageMeta({**pairs, "hashes": hashes}).models()
    names = {resource.name.casefold() for resource in known if resource.name}
    more = [resource for resource in (*_named(pairs), *_in_prompt(prompt)) if _is_new(resource, names)]
    return (*known, *more)


def _is_new(resource: Resource, names: set[str]) -> bool:
    name = (resource.name or "").casefold()
    fresh = bool(name) and name not in names
    names.add(name)
    return fresh


def _split(text: str) -> tuple[str, str]:
    """The prompts, and the line of settings: the last one that begins with `Steps:`."""
    at = max(text.rfind("\nSteps: "), 0 if text.startswith("Steps: ") else -1)
    return (text, "") if at < 0 else (text[:at], text[at : at + _LONGEST].strip())


def _pairs(line: str) -> Iterator[tuple[str, Any]]:
    """The pairs of the line of settings; a value is a text, or what its JSON says."""
    at = 0
    for _ in range(_PAIRS):
        key = _KEY.match(line, at)
        if key is None:
            return
        value, at = _value(line, key.end())
        yield key[1].strip(), value
        while at < len(line) and line[at] in ", \n":
            at += 1


def _value(line: str, at: int) -> tuple[Any, int]:
    """A value, and where the next pair may begin."""
    if line[at : at + 1] in ("{", "[", '"'):
        try:
            return _JSON.raw_decode(line, at)
        except (ValueError, RecursionError):  # a text that only begins like JSON
            pass
    end = line.find(",", at)
    end = len(line) if end < 0 else end
    return line[at:end].strip(), end


def _hashes(pairs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The pairs of `Hashes: {"model": "0123…", "lora:a": "4567…"}`; the names of the first are elsewhere."""
    names = {kind: pairs.get(key) for key, kind, _ in reversed(_NAMED)}
    found = pairs.get("Hashes")
    for key, digest in found.items() if isinstance(found, Mapping) else ():
        name = names.get(key)
        yield (f"{key}:{name}" if isinstance(name, str) else key), digest


def _hash_lists(pairs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The pairs of `Lora hashes: "a: 0123…, b: 4567…"`, in the form of `Hashes`."""
    for key, kind in _HASH_LISTS.items():
        text = pairs.get(key)
        for part in text.split(",") if isinstance(text, str) else ():
            name, colon, digest = part.rpartition(":")
            if colon and name.strip():
                yield f"{kind}:{name.strip()}", digest.strip()


def _named(pairs: Mapping[str, Any]) -> Iterator[Resource]:
    """The models that the settings name outside of their lists of hashes."""
    for key, kind, hash_key in _NAMED:
        name = pairs.get(key)
        if not isinstance(name, str) or not name.strip() or name.strip().casefold() in _BUILT_IN:
            continue
        digest = pairs.get(hash_key)
        meta = ImageMeta({"Model hash": digest}) if isinstance(digest, str) else ImageMeta({})
        yield Resource(kind=kind, name=name.strip(), hash=meta.model_hash)


def _in_prompt(prompt: str) -> Iterator[Resource]:
    """The networks that the prompt itself names."""
    for found in _NETWORK.finditer(prompt):
        yield Resource(kind="hypernet" if found[1] == "hypernet" else "lora", name=found[2].strip())

"""Choose among the variants of a repository: the same weights in several precisions, quantisations and formats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from synapse_sync.core.artifact import WEIGHT_FORMATS, Candidate, format_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import FileWish
from synapse_sync.core.selection import described, meets
from synapse_sync.errors import NotFound

_PRECISION = re.compile(r"(?:^|[-_.])(fp32|fp16|bf16|fp8(?:_e\dm\d(?:fn)?)?(?:_scaled)?)(?=[-_.]|$)", re.IGNORECASE)
_QUANT = re.compile(r"[-_.](i?q\d(?:_[0-9a-z]+)*|tq\d_\d|mxfp4)(?=[-.])", re.IGNORECASE)
_INDEX = re.compile(r"\.index(?:\.\w+)?\.json\Z")
_NUMBERS = re.compile(r"-\d{5}-of-\d{5}")


def precision_of(filename: str) -> str | None:
    """The precision that a file name states, like `fp16` of `model.fp16.safetensors`."""
    match = _PRECISION.search(filename)
    return match[1].lower() if match else None


def quant_of(filename: str) -> str | None:
    """The quantisation that the name of a GGUF file states, like `q4_k_m`."""
    match = _QUANT.search(filename) if format_of(filename) == "gguf" else None
    return match[1].lower() if match else None


@dataclass(frozen=True, slots=True)
class _File:
    """A candidate and the weights that it is, or that it lists as an index; `look` is None for other files.

    `family` is its path without the parts in which precisions and shards of the same weights differ.
    """

    candidate: Candidate
    look: Candidate | None
    family: str

    def fits(self, wish: FileWish) -> bool:
        return self.look is not None and meets(self.look, wish)


def narrow(
    candidates: Sequence[Candidate], wish: FileWish, prefer: FileWish, *, subject: str
) -> tuple[Candidate, ...]:
    """Choose the wanted weights of a whole repository, and all its other files.

    Weights must meet `wish`. Weights whose name states no precision meet it if their family lacks the wanted one,
    as in repositories for diffusers. `prefer` drops weights only if their folder (for the precision: their family)
    has preferred ones. `subject` names the model in messages. Raises `NotFound` if no weights remain.
    """
    files = [_file(candidate) for candidate in candidates]
    kept = [file for file in files if file.look is None or file.fits(replace(wish, precision=None))]
    for name in ("format", "quant", "precision"):
        if getattr(wish, name) is None and getattr(prefer, name) is not None:
            kept = _preferring(kept, name, getattr(prefer, name))
    if wish.precision is not None:
        kept = _of_precision(kept, wish.precision)
    if wish != FileWish() and not any(file.look is not None for file in kept):
        raise NotFound(
            f"`{subject}`: no weights fit {described(wish)}",
            hint="available:\n" + "\n".join(file.candidate.filename for file in files if file.look is not None),
            subject=subject,
        )
    return tuple(file.candidate for file in kept)


def _file(candidate: Candidate) -> _File:
    folder, slash, name = candidate.filename.rpartition("/")
    weights = _INDEX.sub("", name)
    family = folder + slash + _NUMBERS.sub("", _PRECISION.sub("", weights))
    format = format_of(weights)
    look = replace(candidate, filename=weights, format=format) if format in WEIGHT_FORMATS else None
    return _File(candidate, look, family)


def _preferring(kept: Sequence[_File], name: str, value: str) -> list[_File]:
    """Drop the weights of another value where preferred ones exist as well."""

    def group(file: _File) -> str:
        return file.family if name == "precision" else file.family.rpartition("/")[0]

    only = FileWish(**{name: value})
    having = {group(file) for file in kept if file.fits(only)}
    return [file for file in kept if file.look is None or group(file) not in having or file.fits(only)]


def _of_precision(kept: Sequence[_File], precision: str) -> list[_File]:
    """Weights of one precision, and those without any if their family lacks it; none if no file has it."""
    only = FileWish(precision=precision)
    found = any(file.fits(only) for file in kept)
    return [
        file
        for file in _preferring(kept, "precision", precision)
        if file.look is None or (found and (file.look.precision is None or file.fits(only)))
    ]

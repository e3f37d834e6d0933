"""Select the file of a version that the manifest means; never guess."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from synapse_sync.core.artifact import Candidate
from synapse_sync.core.manifest.values import FileWish
from synapse_sync.errors import AmbiguousFile, NotFound

#: Civitai's file types that are the model itself; other files are selected only on request.
_WEIGHTS = frozenset({"model", "pruned model", "unet", "diffusion model"})
_TRAINING = "training data"
#: Selected only by name, or if nothing else exists; training data only by name.
_NEVER = frozenset({_TRAINING, "archive", "config", "workflow", "other"})


def select(candidates: Sequence[Candidate], wish: FileWish, prefer: FileWish, *, subject: str) -> Candidate:
    """Choose the one file that the manifest means.

    The file must meet `wish`. Without a wanted format, safetensors precedes other formats. Then `prefer` narrows
    the choice unless it leaves nothing, and then the site's primary file wins. `subject` names the model in
    messages. Raises `NotFound` if no file meets `wish`. Raises `AmbiguousFile`, with the lines for the manifest,
    if several files remain.
    """
    fitting = [candidate for candidate in candidates if meets(candidate, wish)]
    if not fitting:
        raise NotFound(
            f"`{subject}`: no file fits {described(wish)}",
            hint="available:\n" + _listing(candidates),
            subject=subject,
        )
    if wish.type is None and wish.id is None and wish.name is None and all(c.kind == _TRAINING for c in fitting):
        raise NotFound(
            f"`{subject}`: it has training data only, no weights",
            hint="if that is what you want:\n" + _listing(fitting),
            subject=subject,
        )
    if wish.type is None and wish.id is None:
        fitting = _narrow(fitting, lambda c: c.kind in _WEIGHTS)
        fitting = _narrow(fitting, lambda c: c.kind not in _NEVER)
        fitting = _narrow(fitting, lambda c: c.kind != _TRAINING)
    if wish.format is None and prefer.format is None:
        fitting = _narrow(fitting, lambda c: c.format == "safetensors")
    for name in ("format", "precision", "size", "quant", "name", "type"):
        if getattr(wish, name) is None and getattr(prefer, name) is not None:
            only = FileWish(**{name: getattr(prefer, name)})
            fitting = _narrow(fitting, lambda c, only=only: meets(c, only))  # type: ignore[misc]
    if len(fitting) > 1:
        fitting = _narrow(fitting, lambda c: c.primary)
    digests = {candidate.sha256 for candidate in fitting}
    if len(fitting) == 1 or (len(digests) == 1 and None not in digests):
        return fitting[0]
    raise AmbiguousFile(
        f"`{subject}`: {len(fitting)} files fit, and none of them is the primary one",
        hint="add one of these lines to the manifest:\n" + _listing(fitting),
        subject=subject,
        candidates=[_line(candidate) for candidate in fitting],
    )


def _narrow(candidates: list[Candidate], test: Callable[[Candidate], bool]) -> list[Candidate]:
    """The candidates that pass, or all of them if none does."""
    return [candidate for candidate in candidates if test(candidate)] or candidates


def _same(wanted: str | None, offered: str | None) -> bool:
    return wanted is None or (offered is not None and wanted.casefold() == offered.casefold())


def meets(candidate: Candidate, wish: FileWish) -> bool:
    """Whether a file meets `wish`."""
    return (
        _same(wish.format, candidate.format)
        and _same(wish.precision, candidate.precision)
        and _same(wish.size, candidate.size_class)
        and _same(wish.quant, candidate.quant)
        and _same(wish.type, candidate.kind)
        and _same(wish.id, candidate.file_id)
        and (wish.name is None or _named(candidate.filename.casefold(), wish.name.casefold()))
    )


def _named(filename: str, wanted: str) -> bool:
    """Whether a name equals the wanted one or fits it as a pattern; names with brackets equal themselves."""
    return filename == wanted or fnmatchcase(filename, wanted)


def described(wish: FileWish) -> str:
    """The text of `wish` in a manifest."""
    parts = [
        f"{name} = {value!r}"
        for name in ("format", "precision", "size", "quant", "name", "type", "id")
        if (value := getattr(wish, name)) is not None
    ]
    return "file = { " + ", ".join(parts).replace("'", '"') + " }" if parts else "the requirement"


def _listing(candidates: Sequence[Candidate]) -> str:
    return "\n".join(_line(candidate) for candidate in candidates)


def _line(candidate: Candidate) -> str:
    """The line of the manifest that selects a candidate, with a comment about it."""
    if candidate.file_id:
        key = f"id = {candidate.file_id if candidate.file_id.isdecimal() else json.dumps(candidate.file_id)}"
    else:
        key = f"name = {json.dumps(candidate.filename, ensure_ascii=False)}"
    words = [candidate.filename, candidate.kind, candidate.format, candidate.precision, candidate.size_class]
    if candidate.size is not None:
        size = candidate.size
        words.append(f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB")
    return f"file = {{ {key} }}  # " + ", ".join(word for word in words if word)

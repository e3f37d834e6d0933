"""Selection: which file of a version is meant. Follows the manifest, refuses to guess."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from synapse_sync.core.artifact import Candidate
from synapse_sync.core.manifest.values import FileWish
from synapse_sync.errors import AmbiguousFile, NotFound

#: Civitai's file types that are the model itself; everything else comes along only when it is asked for.
_WEIGHTS = frozenset({"model", "pruned model", "unet", "diffusion model"})
_TRAINING = "training data"
#: Taken only when named, or when there is nothing else; training data not even then.
_NEVER = frozenset({_TRAINING, "archive", "config", "workflow", "other"})


def select(candidates: Sequence[Candidate], wish: FileWish, prefer: FileWish, *, subject: str) -> Candidate:
    """Choose the one file that the manifest means.

    `wish` must be met. Safetensors goes before other formats unless one was named; then `prefer` narrows the
    choice where it leaves one, then the file that the site calls primary. Raises `NotFound` when nothing fits the
    wish and `AmbiguousFile`, with the line to put into the manifest, when several files are left.
    """
    fitting = [candidate for candidate in candidates if meets(candidate, wish)]
    if not fitting:
        raise NotFound(
            f"`{subject}`: no file fits {described(wish)}",
            hint="on offer:\n" + _listing(candidates),
            subject=subject,
        )
    if wish.type is None and wish.id is None and wish.name is None and all(c.kind == _TRAINING for c in fitting):
        raise NotFound(
            f"`{subject}`: there is only training data, no weights",
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
        hint="put one of these lines into the manifest:\n" + _listing(fitting),
        subject=subject,
        candidates=[_line(candidate) for candidate in fitting],
    )


def _narrow(candidates: list[Candidate], test: Callable[[Candidate], bool]) -> list[Candidate]:
    """Those that pass, or all of them when none does."""
    return [candidate for candidate in candidates if test(candidate)] or candidates


def _same(wanted: str | None, offered: str | None) -> bool:
    return wanted is None or (offered is not None and wanted.casefold() == offered.casefold())


def meets(candidate: Candidate, wish: FileWish) -> bool:
    """Whether a file is what is wished for."""
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
    """Whether a name is the wanted one or fits it as a pattern; brackets in a name are no pattern of it."""
    return filename == wanted or fnmatchcase(filename, wanted)


def described(wish: FileWish) -> str:
    """The wish as it stands in the manifest."""
    parts = [
        f"{name} = {value!r}"
        for name in ("format", "precision", "size", "quant", "name", "type", "id")
        if (value := getattr(wish, name)) is not None
    ]
    return "file = { " + ", ".join(parts).replace("'", '"') + " }" if parts else "what was asked"


def _listing(candidates: Sequence[Candidate]) -> str:
    return "\n".join(_line(candidate) for candidate in candidates)


def _line(candidate: Candidate) -> str:
    """One candidate as the manifest line that would choose it, with a comment that says what it is."""
    if candidate.file_id:
        key = f"id = {candidate.file_id if candidate.file_id.isdecimal() else json.dumps(candidate.file_id)}"
    else:
        key = f"name = {json.dumps(candidate.filename, ensure_ascii=False)}"
    words = [candidate.filename, candidate.kind, candidate.format, candidate.precision, candidate.size_class]
    if candidate.size is not None:
        size = candidate.size
        words.append(f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB")
    return f"file = {{ {key} }}  # " + ", ".join(word for word in words if word)

"""Repair of a lockfile that a merge damaged: sound blocks stay, and the others are named. Pure.

Ordinary work with git damages a lockfile: `merge=union` writes two values for one key, a conflict leaves markers,
and an edit by hand leaves half a block. Each block can be read by itself, so damage to one model need
not move the pins of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel, Lockfile, parse_lockfile
from synapse_sync.core.names import clash_key
from synapse_sync.core.toml_text import comment_text
from synapse_sync.errors import InvalidLockfile

_HEAD = re.compile(r"[ \t]*\[\[[ \t]*model[ \t]*\]\][ \t]*(?:#[ \t]*(?P<name>.*?))?[ \t]*")
_PART = re.compile(r"[ \t]*\[\[[ \t]*model[ \t]*\.[ \t]*\w+[ \t]*\]\][ \t]*#[ \t]*(?P<names>.*?)[ \t]*")
_NAME = re.compile(r"""[ \t]*name[ \t]*=[ \t]*(["'])(?P<name>.*?)\1[ \t]*(?:#.*)?""")
_MARKER = re.compile(r"(<{7}|={7}|>{7}|\|{7})(?: .*)?")
_VERSION = "version = 1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The sound blocks of a damaged lockfile, and the names of the damaged ones."""

    lockfile: Lockfile
    damaged: tuple[str, ...]


def repair_lockfile(text: str, filename: str = "synapse.lock") -> Repaired:
    """Keep every sound block of a lockfile.

    `text` is a lockfile that `parse_lockfile` refuses. Raises `InvalidLockfile` if no block can be recognised in
    it, or if a newer synapse wrote it.
    """
    head, *blocks = _blocks(text)
    if not blocks:
        raise InvalidLockfile(
            f"{filename}: it holds no block of a model, so it cannot be repaired",
            hint="restore it from git, or delete it and run `synapse lock`",
        )
    extra = _preamble(head, filename)
    sound: dict[str, LockedModel] = {}
    damaged: dict[str, str] = {}
    for number, block in enumerate(blocks, start=1):
        model = _model(block)
        name = model.name if model is not None else _name_in(block) or f"block {number}"
        key = clash_key(name)
        if model is None or key in damaged or sound.get(key, model) != model:
            # Two different blocks of one name: neither can be believed.
            sound.pop(key, None)
            damaged[key] = name
        else:
            sound[key] = model
    models = tuple(sorted(sound.values(), key=lambda model: model.name))
    return Repaired(lockfile=Lockfile(models=models, extra=extra), damaged=tuple(sorted(damaged.values())))


def with_true_hint(error: InvalidLockfile, text: str) -> InvalidLockfile:
    """The error about a text, with a hint that works: `synapse lock` is none where nothing can be repaired."""
    try:
        repair_lockfile(text)
    except InvalidLockfile as hopeless:
        error.hint = hopeless.hint
    return error


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines before the first model, then the lines of each model."""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if _HEAD.fullmatch(line):
            yield lines
            lines = []
        lines.append(line)
    yield lines


def _preamble(lines: list[str], filename: str) -> tuple[tuple[str, object], ...]:
    """The keys before the first model, but for the version; none if a merge damaged them."""
    text = "".join(f"{line}\n" for line in lines if not _MARKER.fullmatch(line))
    versions = [int(number) for number in re.findall(r"^[ \t]*version[ \t]*=[ \t]*(\d{1,9})\b", text, re.MULTILINE)]
    parse_lockfile(f"version = {max(versions, default=1)}\n", filename)  # raises for the format of a newer synapse
    try:
        return parse_lockfile(text, filename).extra
    except InvalidLockfile:
        return ()


def _model(lines: list[str]) -> LockedModel | None:
    """The model of a block; None if the block is damaged."""
    end = len(lines)
    # A conflict that begins or ends between two blocks leaves its marker after the last line of a sound one.
    while end and (not lines[end - 1].strip() or _MARKER.fullmatch(lines[end - 1])):
        end -= 1
    body = lines[:end]
    if any(_MARKER.fullmatch(line) for line in body):
        return None
    try:
        (model,) = parse_lockfile(_VERSION + "".join(f"{line}\n" for line in body)).models
    except InvalidLockfile:
        return None
    return model if _is_whole(body, comment_text(model.name)) else None


def _is_whole(lines: list[str], name: str) -> bool:
    """Whether the comments of a block, which the formatter wrote, all name the same model.

    The first and the last line of a block name its model: the end of another block shows there, and a missing end.
    """
    head = _HEAD.fullmatch(lines[0])
    assert head is not None
    if head["name"] is None:
        return True  # written by hand, without comments
    parts = [match["names"] for line in lines if (match := _PART.fullmatch(line))]
    belong = all(words == name or words.startswith(f"{name} ") for words in parts)
    return head["name"] == name and belong and lines[-1].endswith(f"# {name}")


def _name_in(lines: list[str]) -> str | None:
    """The name in a damaged block: of its comment, or of its key `name`."""
    head = _HEAD.fullmatch(lines[0])
    if head is not None and head["name"]:
        return head["name"]
    return next((match["name"] for line in lines if (match := _NAME.fullmatch(line))), None)

"""The blocks of a lockfile that is written as the formatter writes it, read in a third of the time. Pure.

Most lockfiles are, and reading them is most of the work of many commands. One that was written by hand, by a merge
or by a newer version is read as TOML instead: with the same values, and with words for what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from synapse_sync.core.artifact import Archive, Artifact, ModelCard, Preview
from synapse_sync.core.frozen import maker
from synapse_sync.core.names import SafePath, clash_key, is_plain_path
from synapse_sync.core.reference import Reference
from synapse_sync.core.toml import read_toml
from synapse_sync.core.toml_error import TomlError

#: The parts of one block: its name, requirement, reference, card and files.
Block = tuple[str, str, Reference, ModelCard, tuple[Artifact, ...]]


T = TypeVar("T")
#: The beginning of a block, and the quotes around strings of several lines, which the formatter does not write.
_MARK, _SEVERAL_LINES = "\n[[model]]", ('"""', "'''")
_A_PREVIEW = "[[model.preview]]"


class Irregular(ValueError):
    """The text is not what the formatter writes, or has values that only a thorough reader may judge."""


# Characters that TOML allows in a string or a comment. No loop here ever has to give a character back, so each is
# possessive (`*+`), and a missing line is a branch: Python's engine then takes half of the time.
_CHARS = r"[^\"\\\x00-\x1f\x7f]*+(?:\\[^\x00-\x1f\x7f][^\"\\\x00-\x1f\x7f]*+)*"
_TEXT = rf'(?!"")"({_CHARS})"'
_LIST = rf'\[("{_CHARS}"(?:, "{_CHARS}")*)\]'
_NUMBER = r"(0|[1-9][0-9]{0,17})"
_HEX = r'"([0-9a-f]{64})"'
_TABLE = r"(\{ [^\n]+ \})"
_COMMENT = r" #[^\x00-\x08\x0a-\x1f\x7f]*+"
_END = rf"(?:{_COMMENT}|)\n"


def _lines(**values: str) -> str:
    """A pattern of lines in this order, each with a key and its value; keys that end in `_` may be missing."""
    found = []
    for key, value in values.items():
        line = f"{key.strip('_').replace('_', '-')} = {value}{_END}"
        found.append(f"(?:{line}|)" if key.endswith("_") else line)
    return "".join(found)


# Patterns are kept as text: `re` compiles and remembers them when they are first used, so importing is cheap.

_HEAD = rf"version = 1{_END}(?:#[^\x00-\x08\x0a-\x1f\x7f]*\n)*"
_MODEL = rf"\n\[\[model\]\]{_END}" + _lines(
    name=_TEXT, requirement=_TEXT, title_=_TEXT, version_name_=_TEXT, reference=_TEXT, type_=_TEXT,
    base_model_=_TEXT, published_=_TEXT, trained_words_=_LIST, license_=_TABLE, gated_=_TEXT, nsfw_=_NUMBER,
)  # fmt: skip
_ARTIFACT = rf"\[\[model\.artifact\]\]{_END}" + _lines(
    filename=_TEXT, size=_NUMBER, format=_TEXT, precision_=_TEXT, role_=_TEXT, blake3_=_HEX,
    git_sha1_=r'"([0-9a-f]{40})"', scan_=_TEXT, trust_=_TEXT, archive_=_TABLE, mirrors_=_LIST, url=_TEXT,
    sha256=_HEX,
)  # fmt: skip
_PREVIEW = rf"\[\[model\.preview\]\]{_END}" + _lines(
    type=_TEXT, id_=_NUMBER, nsfw_=_NUMBER, width_=_NUMBER, height_=_NUMBER, url=_TEXT
)
#: Which values are texts, by their number in the pattern; lists and tables have quotes or escapes of their own.
_MODEL_TEXTS, _ARTIFACT_TEXTS, _PREVIEW_TEXTS = (*range(8), 10), (0, 2, 3, 4, 7, 8, 11), (0, 5)
_ITEM = rf'"({_CHARS})"'
_FACT = rf'([A-Za-z0-9_-]+) = (?:(true)|(false)|"({_CHARS})")'
_ANY_FACT = rf'[A-Za-z0-9_-]+ = (?:true|false|"{_CHARS}")'
_FACTS = rf"\{{ {_ANY_FACT}(?:, {_ANY_FACT})* \}}"
_ARCHIVE = rf'\{{ member = {_TEXT}, size = {_NUMBER}(?:, git-sha1 = "([0-9a-f]{{40}})")?, sha256 = {_HEX} \}}'


def cut(text: str) -> list[str]:
    """The texts of the blocks of a lockfile; together with what is above the first one they are the text.

    Empty if a string may go over several lines: then a line that looks like the first one of a block may be in it.
    """
    if any(quotes in text for quotes in _SEVERAL_LINES):
        return []
    return [_MARK + part for part in text.split(_MARK)[1:]]


def blocks(text: str, known: Mapping[str, T]) -> Iterator[Block | T]:
    """The blocks of a lockfile, in their order; raises `Irregular`, `InvalidReference` or `UnsafeName`.

    No block has two keys of one name, but two blocks may have the same name. `known` has blocks that were read
    before, by their texts as `cut` returns them: those are not read anew.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    head = re.match(_HEAD, text)
    if head is None:
        raise Irregular
    at = head.end()
    model, artifact = re.compile(_MODEL).match, re.compile(_ARTIFACT).match
    escapes = "\\" in text
    is_cut = bool(known) and not any(quotes in text for quotes in _SEVERAL_LINES)
    while at < len(text):
        if is_cut:
            end = text.find(_MARK, at + 1)
            part = text[at:] if end < 0 else text[at:end]
            if (same := known.get(part)) is not None:
                yield same
                at += len(part)
                continue
        if (found := model(text, at)) is None:
            raise Irregular
        at = found.end()
        files, previews = [], []
        while (file := artifact(text, at)) is not None:
            files.append(_artifact(*(_values(file, _ARTIFACT_TEXTS) if escapes else file.groups())))
            at = file.end()
        # Most projects have no previews, and the pattern of one takes a millisecond to compile.
        while text.startswith(_A_PREVIEW, at) and (image := re.compile(_PREVIEW).match(text, at)) is not None:
            previews.append(_preview(_values(image, _PREVIEW_TEXTS)))
            at = image.end()
        if not files:
            raise Irregular
        values = _values(found, _MODEL_TEXTS) if escapes else found.groups()
        yield _block(_in_order(files), tuple(previews), *values)


def _in_order(files: list[Artifact]) -> tuple[Artifact, ...]:
    """The files of a model by name; raises `Irregular` if some file system cannot tell two names apart."""
    if len(files) > 1:
        if len({clash_key(file.filename) for file in files}) < len(files):
            raise Irregular
        files.sort(key=lambda file: file.filename)
    return tuple(files)


def _values(match: re.Match[str], texts: Iterable[int]) -> list[Any]:
    """The values of the lines, None for those that are missing; the ones that are `texts` without their escapes."""
    values = list(match.groups())
    if "\\" in match[0]:
        for number in texts:
            values[number] = values[number] and _plain(values[number])
    return values


def _plain(text: str) -> str:
    """A text without its escapes; raises `Irregular` for one that TOML does not know."""
    if "\\" not in text:
        return text
    try:
        return str(read_toml(f'text = "{text}"')["text"])
    except TomlError as error:
        raise Irregular from error


#: These take their values by their places, in the order of the fields.
_make_card, _make_artifact = maker(ModelCard), maker(Artifact)


def _block(
    files: tuple[Artifact, ...], previews: tuple[Preview, ...],
    name: str, requirement: str, title: str, version: str, reference: str, kind: str, base: str, published: str,
    words: str | None, facts: str | None, gated: str, nsfw: str | None,
) -> Block:  # fmt: skip
    card = _make_card(
        title,
        version,
        _shared(kind),
        _shared(base),
        published,
        () if words is None else _items(words),
        () if facts is None else _facts(facts),
        _shared(gated),
        None if nsfw is None else int(nsfw),
        previews,
    )
    return name, requirement, Reference.verbatim(reference), card, files


def _artifact(
    filename: str, size: str, kind: str, precision: str, role: str, blake3: str, git_sha1: str, scan: str,
    trust: str, archive: str | None, mirrors: str | None, url: str, sha256: str,
) -> Artifact:  # fmt: skip
    if not is_plain_path(filename):
        SafePath(filename)
    return _make_artifact(
        filename,
        int(size),
        sha256,
        Reference.verbatim(url),
        blake3,
        git_sha1,
        _shared(kind),
        _shared(precision),
        _shared(role) or "model",
        () if mirrors is None else tuple(map(Reference.verbatim, _items(mirrors))),
        _shared(scan),
        _shared(trust),
        None if archive is None else _archive(archive),
    )


def _archive(text: str) -> Archive:
    if (match := re.fullmatch(_ARCHIVE, text)) is None:
        raise Irregular
    member, size, git_sha1, sha256 = match.groups()
    return Archive(member=_plain(member), size=int(size), git_sha1=git_sha1, sha256=sha256)


def _preview(values: list[Any]) -> Preview:
    kind, number, nsfw, width, height, url = values
    return Preview(
        url=Reference.verbatim(url),
        type=_shared(kind),
        id=None if number is None else int(number),
        nsfw=int(nsfw or 0),
        width=None if width is None else int(width),
        height=None if height is None else int(height),
    )


def _items(text: str) -> tuple[str, ...]:
    """The texts of a list."""
    if "\\" not in text:
        return tuple(text[1:-1].split('", "'))
    return tuple(map(_plain, re.findall(_ITEM, text)))


@lru_cache(maxsize=1 << 12)  # there are few licences
def _facts(text: str) -> tuple[tuple[str, object], ...]:
    """The keys of a table with their values, which are texts or truth values."""
    if re.fullmatch(_FACTS, text) is None:
        raise Irregular
    found: dict[str, object] = {}
    for key, yes, no, word in re.findall(_FACT, text):
        if key in found:
            raise Irregular
        found[key] = True if yes else False if no else _plain(word)
    return tuple(found.items())


@lru_cache(maxsize=1 << 12)
def _shared(word: str | None) -> Any:
    """The same text, as one object for all models."""
    return word

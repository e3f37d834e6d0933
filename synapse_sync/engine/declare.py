"""Declare: references that a user gave become entries of the manifest, with a name and what was wished."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from synapse_sync.core.names import SafePath
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, SynapseError, UnsafeName, raise_all
from synapse_sync.sources.base import Ask, Resolved, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line says about the entries to add; None and () say nothing."""

    name: str | None = None
    type: str | None = None
    groups: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    file: tuple[tuple[str, str], ...] = ()
    include: tuple[str, ...] = ()
    extract: tuple[str, ...] = ()
    previews: bool | None = None
    cover: str | None = None
    allow_pickle: bool = False


def propose(
    references: Sequence[Reference], wishes: Wishes, taken: Collection[str], sources: Mapping[str, Source]
) -> list[tuple[str, str | dict[str, object]]]:
    """A name and a manifest value for each reference; the sites are asked for titles, all at once."""
    references = tuple(dict.fromkeys(references))
    names = dict(zip(references, _names(references, wishes, sources), strict=True))
    used = {name.casefold() for name in taken}
    entries: list[tuple[str, str | dict[str, object]]] = []
    for reference in references:
        name = names[reference]
        if wishes.name is not None and name.casefold() in used:
            raise InputError(f"synapse.toml has a model `{name}` already", hint="choose another --name")
        unique, number = name, 2
        while unique.casefold() in used:
            unique, number = f"{name}-{number}", number + 1
        used.add(unique.casefold())
        entries.append((unique, _value(reference, wishes)))
    return entries


def _names(references: Sequence[Reference], wishes: Wishes, sources: Mapping[str, Source]) -> list[str]:
    if wishes.name is not None:
        if len(references) > 1:
            raise InputError("--name goes with one reference only")
        return [_checked(wishes.name)]
    answers: dict[str, Resolved | SynapseError] = {}
    asks: dict[str, list[Ask]] = {}
    for number, reference in enumerate(references):
        asks.setdefault(reference.source, []).append(Ask(key=str(number), reference=reference))
    for source, questions in asks.items():
        answers.update(sources[source].resolve(questions))
    raise_all([answer for answer in answers.values() if isinstance(answer, SynapseError)])
    return [_name_for(reference, answers[str(n)]) for n, reference in enumerate(references)]


def _checked(name: str) -> str:
    if "@" in name or "/" in name or any(char.isspace() for char in name):
        raise InputError(f"`{name}` cannot be a model's name", hint="letters, digits, `-`, `_` and `.`")
    try:
        return SafePath(name).text
    except UnsafeName as error:
        raise InputError(f"`{name}` cannot be a model's name: {error.message}") from error


def _name_for(reference: Reference, answer: Resolved | SynapseError) -> str:
    """A short name from the title or, for files of a repository and of plain hosts, from the file."""
    assert isinstance(answer, Resolved)
    title = answer.card.title
    # No title, a repository's path or a file's name: nothing that a person would say.
    if title is None or "/" in title or title in [candidate.filename for candidate in answer.candidates]:
        alone = len(answer.candidates) == 1 and not answer.take_all
        file = answer.candidates[0].filename.rpartition("/")[2].rpartition(".")[0] if alone else ""
        title = file or (title or "").rpartition("/")[2]
    return slug(title or reference.id)


def slug(title: str) -> str:
    """A title as a short, plain name: `DreamShaper XL v2` becomes `dreamshaper-xl-v2`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return words or "model"


def _value(reference: Reference, wishes: Wishes) -> str | dict[str, object]:
    """The manifest's value: the short form if there is nothing more to say."""
    more: dict[str, object] = {
        "versions": list(wishes.versions),
        "type": wishes.type,
        "file": {key: int(text) if key == "id" and text.isdigit() else text for key, text in wishes.file},
        "include": list(wishes.include),
        "extract": list(wishes.extract),
        "groups": list(wishes.groups),
        "targets": list(wishes.targets),
        "previews": wishes.previews,
        "cover": wishes.cover,
        "allow-pickle": wishes.allow_pickle or None,
    }
    said = {key: value for key, value in more.items() if value is not None and value != [] and value != {}}
    return {"source": str(reference), **said} if said else str(reference)

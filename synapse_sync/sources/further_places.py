"""Further places of files that are known by their SHA-256, in a bounded number of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from synapse_sync.core.reference import Reference
from synapse_sync.errors import StatusError, SynapseError
from synapse_sync.sources.base import Ask, Resolved, Source


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file by its content, and the places that are known for it."""

    sha256: str
    places: tuple[Reference, ...]


#: What a site found, by SHA-256, and what went wrong.
Found = tuple[list[tuple[str, Reference]], list[str]]


def further_places(wanted: Sequence[Wanted], sources: Mapping[str, Source]) -> Found:
    """Ask every site that can tell; a site that fails is a warning, since others may still answer."""
    places: list[tuple[str, Reference]] = []
    warnings: list[str] = []
    for name, ask in _FINDERS.items():
        try:
            found, trouble = ask(wanted, sources[name])
        except SynapseError as error:
            told = sources[name].explain(Reference("url", name), error) if isinstance(error, StatusError) else error
            warnings.append(f"{told.message}; no places were looked for there")
        else:
            places += found
            warnings += trouble
    return places, warnings


def _by_hash(wanted: Sequence[Wanted], source: Source) -> Found:
    """Civitai: one request for 10,000 files, and one more for each hundred that it has."""
    from synapse_sync.sources.civitai.source import CivitaiSource

    assert isinstance(source, CivitaiSource)
    return list(source.places({file.sha256 for file in wanted}).items()), []


def _same_repository(wanted: Sequence[Wanted], source: Source) -> Found:
    """Hugging Face has no look-up by content: each repository is listed once, as it is on its main branch now."""
    ids = {place.id for file in wanted for place in file.places if place.source == "huggingface"}
    asks = [Ask(key=id_, reference=Reference("huggingface", id_), include=("*",)) for id_ in sorted(ids)]
    found: list[tuple[str, Reference]] = []
    warnings: list[str] = []
    for id_, answer in source.resolve(asks).items() if asks else ():
        if isinstance(answer, Resolved):
            known = {file.sha256 for file in wanted if any(place.id == id_ for place in file.places)}
            found += [
                (c.sha256, Reference.parse(c.url)) for c in answer.candidates if c.sha256 in known and c.sha256
            ]
        else:
            warnings.append(f"{answer.message}; its main branch could not be looked at")
    return found, warnings


_FINDERS: dict[str, Callable[[Sequence[Wanted], Source], Found]] = {
    "civitai": _by_hash,
    "huggingface": _same_repository,
}

"""Further places of files that are known by their SHA-256, in a bounded number of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synapse_sync.core.reference import Reference
from synapse_sync.errors import InvalidSettings, StatusError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sites import SITES
from synapse_sync.sources.base import Ask, Finding, Found, Resolved, Source, Wanted

__all__ = ["Found", "Wanted", "further_places", "same_repositories"]


def further_places(wanted: Sequence[Wanted], sources: Mapping[str, Source]) -> Found:
    """Ask every site that can find files; a site that fails is a warning, since others may still answer.

    Raises `InvalidSettings`.
    """
    places: list[tuple[str, Reference]] = []
    warnings: list[str] = []
    finding = [source for source in (sources[site.name] for site in SITES) if isinstance(source, Finding)]
    for found, trouble in at_once(lambda source: _at_site(source, wanted), finding, len(finding)):
        places += found
        warnings += trouble
    return places, warnings


def _at_site(source: Source, wanted: Sequence[Wanted]) -> Found:
    """The places that one site knows, and warnings; raises `InvalidSettings`."""
    assert isinstance(source, Finding)
    try:
        return source.further_places(wanted)
    except InvalidSettings:
        raise
    except SynapseError as error:
        reason = source.explain(Reference("url", error.url), error) if isinstance(error, StatusError) else error
        return [], [f"{reason.message}; no locations were looked for there"]


def same_repositories(name: str, source: Source, wanted: Sequence[Wanted]) -> Found:
    """Look for `wanted` in the repositories of the site `name` that are known for them, as they are now.

    For a site without a look-up by content: each repository is listed once, on its default branch.
    """
    ids = {place.id for file in wanted for place in file.places if place.source == name}
    asks = [Ask(key=id_, reference=Reference(name, id_), include=("*",)) for id_ in sorted(ids)]
    found: list[tuple[str, Reference]] = []
    warnings: list[str] = []
    for id_, answer in source.resolve(asks).items() if asks else ():
        if isinstance(answer, Resolved):
            known = {file.sha256 for file in wanted if any(place.id == id_ for place in file.places)}
            found += [(c.sha256, c.url) for c in answer.candidates if c.sha256 in known and c.sha256]
        elif isinstance(answer, InvalidSettings):
            raise answer
        else:
            warnings.append(f"{answer.message}; its main branch was not searched")
    return found, warnings

"""Without: which locked models could still be had if a site or a host were gone. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.reference import Reference
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import SynapseError
from synapse_sync.sites import Site, host_site, site_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """One model without a host: where each of its files is still to be had; `lost` are those with no such place.

    `places` are words: "the store", "this machine", "a remote" (its directory), or a host. `size` of the lost files
    in bytes.
    """

    name: str
    places: tuple[str, ...]
    lost: tuple[str, ...]
    size: int


def remaining(models: Sequence[LockedModel], tools: Tools, host: str) -> list[Remaining]:
    """Say for each model where its files are still to be had without a site, by its name or host."""
    site = site_of(host) or host_site(host)
    found = []
    for model in models:
        places = {artifact: _place(artifact, tools, host, site) for artifact in model.artifacts}
        lost = [artifact for artifact, place in places.items() if place is None]
        found.append(
            Remaining(
                name=model.name,
                places=tuple(dict.fromkeys(place for place in places.values() if place is not None)),
                lost=tuple(artifact.filename for artifact in lost),
                size=sum(artifact.size for artifact in lost),
            )
        )
    return found


def _place(artifact: Artifact, tools: Tools, host: str, site: Site | None) -> str | None:
    """The best place of a file that is not on the host; None if there is none."""
    if any(member.path(artifact.sha256).is_file() for member in tools.store.members):
        return "the store"
    if tools.nearby(artifact):
        return "this machine"
    if tools.shared(artifact):
        return "a remote"
    for reference in artifact.locations:
        there = _host_of(reference, tools)
        if there is not None and not _is_gone(reference, there, host, site):
            return there
    return None


def _host_of(reference: Reference, tools: Tools) -> str | None:
    """The host of a location, or "this machine" for a file that exists here; None if it leads nowhere."""
    if reference.source == "path":
        path = tools.local_path(reference)
        return "this machine" if path is not None and Path(path).is_file() else None
    try:
        return urlsplit(tools.sources[reference.source].locate(reference).url).netloc.lower()
    except SynapseError:
        return None


def _is_gone(reference: Reference, there: str, host: str, site: Site | None) -> bool:
    if site is None:
        return there == host.lower()
    return reference.source == site.name or there in (site.token_host, *site.hosts)

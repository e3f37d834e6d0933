"""Wanted: the locked files of a project and their paths, whatever this machine has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from synapse_sync.core.freshness import expected, stale_entries, with_renamed
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, Target
from synapse_sync.core.plan import Placement
from synapse_sync.core.policy import code_allowed, facts_of, left_out, objection, permissions_for
from synapse_sync.engine.part import entries_in, targets_in
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import OutOfDate, SynapseError
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import Project
from synapse_sync.user.places import LOCKFILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The locked files of a project, and the paths that targets want for them, whatever this machine has.

    `entries` and `locked` are by the name of the model.
    """

    entries: Mapping[str, Requirement]
    locked: Mapping[str, LockedModel]
    targets: tuple[Target, ...]
    placements: tuple[Placement, ...]


def wanted(project: Project, scope: Scope) -> Wanted:
    """The locked files in scope; raises `InputError`, and `OutOfDate` for a model that is not locked."""
    manifest = project.manifest
    entries = entries_in(manifest, scope)
    lockfile = with_renamed(manifest.entries(), project.lockfile)
    if stale := [entry.name for entry in stale_entries(expected(entries, lockfile), lockfile)]:
        raise OutOfDate(
            f"{LOCKFILE} does not answer `{stale[0]}`" + (f" and {len(stale) - 1} more" if stale[1:] else ""),
            hint="run `synapse lock`, and then this again",
        )
    locked = {model.name: model for model in lockfile.models}
    targets = targets_in(manifest, scope)
    by_name = {entry.name: entry for entry in entries}
    found = arrange(entries, locked, targets).placements
    return Wanted(
        entries=by_name,
        locked=locked,
        targets=tuple(targets),
        placements=tuple(p for p in found if not _is_left_out(by_name[p.model], p, locked)),
    )


def _is_left_out(entry: Requirement, place: Placement, locked: Mapping[str, LockedModel]) -> bool:
    """Whether a sync leaves this file of a repository out, as code that the manifest does not allow."""
    name = place.artifact.filename
    return (
        len(locked[entry.name].artifacts) > 1
        and not code_allowed(entry, name)
        and left_out(name, pickles=entry.allow_pickle, include=entry.include)
    )


def refused(project: Project, tools: Tools, part: Wanted) -> list[SynapseError]:
    """The errors for files that a sync would refuse, each once."""
    return list(_refused(project, tools, part))


def _refused(project: Project, tools: Tools, part: Wanted) -> Iterator[SynapseError]:
    dangerous = project.manifest.workspace.allow_dangerous
    seen: set[tuple[str, str]] = set()
    for place in part.placements:
        if place.leads_to is not None or (place.model, place.artifact.sha256) in seen:
            continue
        allowed = permissions_for(part.entries[place.model], place.artifact.filename, tools.forbidden)
        shown = (place.known_as or place.path).text
        problem = objection(facts_of(place.artifact, place.model, shown), replace(allowed, dangerous=dangerous))
        if problem is not None:
            seen.add((place.model, place.artifact.sha256))
            yield problem

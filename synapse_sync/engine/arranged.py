"""Arranged: the targets of a part as this machine can have them, and their arrangement without refused code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, Target
from synapse_sync.core.plan import Placement
from synapse_sync.engine.part import targets_in
from synapse_sync.engine.scope import Scope
from synapse_sync.layouts import LAYOUTS
from synapse_sync.layouts.arrange import Arrangement
from synapse_sync.project import Project
from synapse_sync.store.roots import root_of
from synapse_sync.user.places import LOCKFILE


def targets_here(project: Project, scope: Scope) -> list[Target]:
    """The targets in scope, as this machine can have them; raises `InputError` for names that do not exist."""
    from synapse_sync.store.links import can_link  # few targets are caches

    # Only there a link is no link mode, which every file system has to offer.
    return [
        replace(target, links=can_link(root_of(target.root, project.directory)))
        if target.layout in LAYOUTS and LAYOUTS[target.layout].repositories
        else target
        for target in targets_in(project.manifest, scope)
    ]


def without_code(
    arrangement: Arrangement,
    is_absent: Callable[[Placement], bool],
    entries: Sequence[Requirement],
    locked: Mapping[str, LockedModel],
) -> Arrangement:
    """The arrangement without the code of repositories that the manifest does not allow, and notes about it.

    Earlier versions locked such files. Where one is placed already, it stays.
    """
    several = {e.name: e for e in entries if e.name in locked and len(locked[e.name].artifacts) > 1}
    if not several:
        return arrangement
    from synapse_sync.core.policy import code_allowed, left_out, listed_code  # with the readers of all formats

    left: dict[str, dict[str, None]] = {}
    kept = []
    for placement in arrangement.placements:
        entry, name = several.get(placement.model), placement.artifact.filename
        if (
            entry is not None
            and not code_allowed(entry, name)
            and left_out(name, pickles=entry.allow_pickle, include=entry.include)
            and is_absent(placement)
        ):
            left.setdefault(entry.name, {})[name] = None
        else:
            kept.append(placement)
    notes = [
        f"`{model}`: {listed_code(names)}; they are in {LOCKFILE} until `synapse lock --upgrade-model {model}`"
        for model, names in left.items()
    ]
    return replace(arrangement, placements=tuple(kept), notes=(*arrangement.notes, *notes)) if left else arrangement

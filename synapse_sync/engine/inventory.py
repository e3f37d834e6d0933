"""Inventory: the locked models of a project, and which of their files are in place. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.plan import Placement, State
from synapse_sync.engine.arranged import targets_here, without_code
from synapse_sync.engine.part import entries_in
from synapse_sync.engine.scope import Scope
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import Project
from synapse_sync.store.roots import root_of
from synapse_sync.user.searches import paused

if TYPE_CHECKING:
    from synapse_sync.engine.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """One locked model, and each path that its files are wanted at, with whether the right one is in place."""

    model: LockedModel
    places: tuple[tuple[Placement, bool], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The locked models in scope; `stale` names those that the lockfile does not answer.

    `elsewhere` are the locked variants of these models that only other machines place.
    """

    stocks: tuple[Stock, ...]
    stale: tuple[str, ...] = ()
    elsewhere: tuple[LockedModel, ...] = ()


@paused()
def inventory(project: Project, scope: Scope, tools: Callable[[], Tools], *, unchanged: bool) -> Inventory:
    """List the locked models in scope, and which of their files are in place.

    `unchanged` says that nothing changed since a complete sync: then every wanted file is in place. Neither
    receipts nor files are looked at, except for the files that a sync may leave out. `tools` are made for a survey
    only, and this raises like one.
    """
    if unchanged:
        return _listed(project, scope, _arranged(project, scope), lambda placement: True)
    from synapse_sync.engine.survey import survey_project  # with all that looks at trees

    survey = survey_project(project, scope, tools())

    def is_placed(place: Placement) -> bool:
        found = survey.observed[place.key]
        return found.state is State.PLACED and found.sha256 == place.artifact.sha256

    return _listed(project, scope, survey.arrangement.placements, is_placed, survey.not_locked)


def _arranged(project: Project, scope: Scope) -> tuple[Placement, ...]:
    """The wanted paths of a project that is in sync."""
    entries = entries_in(project.manifest, scope)
    locked = {model.name: model for model in project.lockfile.models}
    targets = targets_here(project, scope)
    roots = {target.name: root_of(target.root, project.directory) for target in targets}

    def is_absent(placement: Placement) -> bool:
        return not os.path.lexists(placement.path.under(roots[placement.target]))

    return without_code(arrange(entries, locked, targets), is_absent, entries, locked).placements


def _listed(
    project: Project,
    scope: Scope,
    placements: tuple[Placement, ...],
    is_placed: Callable[[Placement], bool],
    stale: tuple[str, ...] = (),
) -> Inventory:
    entries = entries_in(project.manifest, scope)
    names, models = {entry.name for entry in entries}, {entry.model for entry in entries}
    others = {entry.name for entry in project.manifest.elsewhere() if entry.model in models}
    places: dict[str, list[tuple[Placement, bool]]] = {}
    for placement in placements:
        if placement.known_as is None:  # else the path by which programs find it is listed
            places.setdefault(placement.model, []).append((placement, is_placed(placement)))
    stocks = (
        Stock(model=model, places=tuple(places.get(model.name, ())))
        for model in project.lockfile.models
        if model.name in names
    )
    elsewhere = (model for model in project.lockfile.models if model.name in others)
    return Inventory(stocks=tuple(stocks), stale=stale, elsewhere=tuple(elsewhere))

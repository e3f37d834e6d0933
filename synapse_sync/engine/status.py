"""Status: a survey, and the reasons why a sync of it would be refused."""

from __future__ import annotations

from dataclasses import replace

from synapse_sync.core.rules import violations
from synapse_sync.core.trust import Capability, announced
from synapse_sync.engine.preflight import foreseen
from synapse_sync.engine.remember import placed_roots
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import Survey, check_frozen, survey_project
from synapse_sync.engine.tools import Tools
from synapse_sync.engine.trust import wanted
from synapse_sync.errors import InputError
from synapse_sync.project import Project


def status(project: Project, scope: Scope, tools: Tools, *, frozen: bool = False) -> Survey:
    """Survey a project; reasons to refuse a sync are among the warnings. Changes nothing.

    With `frozen`, the lockfile is followed as it is; raises `OutOfDate` if it lacks a model in scope.
    """
    if frozen:
        check_frozen(project, scope)
    survey = survey_project(project, scope, tools, frozen=frozen)
    errors = foreseen(
        survey.plan,
        project.manifest,
        survey.trees,
        tools,
        project=project.directory,
        placed=placed_roots(project),
    )
    forbidden = list(tools.trust.refused_roots(tree.target for tree in survey.trees.values()))
    errors += forbidden
    errors += violations(project.manifest.rules, project.lockfile.models)
    refusals = (f"sync will refuse this: {e.message}" + (f"; {e.hint}" if e.hint else "") for e in errors)
    # A sync stops at a forbidden root before it asks for anything.
    asks = () if forbidden else tools.trust.missing(_asked(project, survey, tools))
    return replace(
        survey, asks=asks, refused=bool(errors), warnings=(*survey.warnings, *refusals, *announced(asks))
    )


def _asked(project: Project, survey: Survey, tools: Tools) -> set[Capability]:
    """The capabilities that a sync would ask for: for its plan, and for the models that it would lock first."""
    entries = project.manifest.entries()
    try:
        found = wanted(project, tools.trust, survey.plan, survey.trees, entries)
    except InputError:
        found = set()  # a link that is refused: the sync reports it
    if survey.stale:
        declared = {target.name for target in project.manifest.targets}
        found |= set(tools.trust.declared(entry for entry in entries if entry.name in survey.stale))
        found |= set(tools.trust.roots(t.target for name, t in survey.trees.items() if name in declared))
    return found

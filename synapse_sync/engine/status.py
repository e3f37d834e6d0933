"""Status: a survey, and the reasons why a sync of it would be refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from synapse_sync.core.plan import Plan
from synapse_sync.core.rules import violations
from synapse_sync.core.trust import Capability, announced
from synapse_sync.engine.optional import admitted, judged
from synapse_sync.engine.preflight import foreseen
from synapse_sync.engine.remember import placed_roots
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import Survey, check_frozen, survey_project
from synapse_sync.engine.tools import Tools
from synapse_sync.engine.trust import wanted
from synapse_sync.errors import InputError, SynapseError
from synapse_sync.project import Project


def status(project: Project, scope: Scope, tools: Tools, *, frozen: bool = False) -> Survey:
    """Survey a project; reasons to refuse a sync are among the warnings. Changes nothing.

    With `frozen`, the lockfile is followed as it is; raises `OutOfDate` if it lacks a model in scope.
    """
    if frozen:
        check_frozen(project, scope)
    survey = survey_project(project, scope, tools, frozen=frozen)
    forbidden = list(tools.trust.refused_roots(tree.target for tree in survey.trees.values()))
    survey, left_out, errors = _foreseen(survey, project, tools)
    errors += forbidden
    refusals = (f"sync will refuse this: {e.message}" + (f"; {e.hint}" if e.hint else "") for e in errors)
    # A sync stops at a forbidden root before it asks for anything.
    asks = () if forbidden else tools.trust.missing(_asked(project, survey, tools))
    return replace(
        survey,
        asks=asks,
        refused=bool(errors),
        warnings=(*survey.warnings, *left_out, *refusals, *announced(asks)),
    )


def _foreseen(survey: Survey, project: Project, tools: Tools) -> tuple[Survey, Sequence[str], list[SynapseError]]:
    """The survey without the optional models that a sync would leave out, warnings about those, and refusals."""
    placed = placed_roots(project)

    def problems(plan: Plan) -> list[SynapseError]:
        found = foreseen(plan, project.manifest, survey.trees, tools, project=project.directory, placed=placed)
        return [*found, *violations(project.manifest.rules, judged(survey.plan, plan, project.lockfile.models))]

    try:
        plan, warnings = admitted(survey.plan, survey.optional, problems)
    except SynapseError:
        return survey, (), problems(survey.plan)
    return replace(survey, plan=plan, left_out=bool(warnings)), warnings, []


def _asked(project: Project, survey: Survey, tools: Tools) -> set[Capability]:
    """The capabilities that a sync would ask for: for its plan, and for the models that it would lock first."""
    entries = project.manifest.entries()
    try:
        found = wanted(project, tools.trust, survey.plan, survey.trees, entries)
    except InputError:
        found = set()  # a link that is refused: the sync reports it
    if survey.stale:
        declared = {target.name for target in project.manifest.targets}
        stale = set(survey.stale)
        found |= set(tools.trust.declared(entry for entry in entries if entry.name in stale))
        found |= set(tools.trust.roots(t.target for name, t in survey.trees.items() if name in declared))
    return found

"""Status: a survey, and the reasons why a sync of it would be refused."""

from __future__ import annotations

from dataclasses import replace

from synapse_sync.engine.preflight import foreseen
from synapse_sync.engine.remember import placed_roots
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import Survey, check_frozen, survey_project
from synapse_sync.engine.tools import Tools
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
    refusals = (f"sync will refuse this: {e.message}" + (f"; {e.hint}" if e.hint else "") for e in errors)
    return replace(survey, warnings=(*survey.warnings, *refusals))

"""`synapse status`: show what sync would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.json_values import in_sync_value, survey_value
from synapse_sync.cli.options import common, scope
from synapse_sync.cli.render import plan_lines
from synapse_sync.cli.texts import count_text, in_sync_text, rest_text

if TYPE_CHECKING:
    from synapse_sync.engine.scope import Scope
    from synapse_sync.engine.survey import Survey


@click.command("status", short_help="Show what sync would do")
@scope
@common
@click.pass_obj
def command(console: Console, only: tuple[str, ...], groups: tuple[str, ...], targets: tuple[str, ...]) -> int:
    """Show what sync would do: what is missing, changed, in the way or no longer wanted. Changes nothing."""
    from synapse_sync.engine.scope import Scope
    from synapse_sync.workspace import Workspace

    part = Scope(only=only, groups=groups, targets=targets)
    with Workspace.find(console.directory, offline=True) as workspace:
        if part.is_whole and (count := workspace.unchanged()) is not None:
            if console.as_json:
                console.document(in_sync_value(count))
            console.answer(in_sync_text(count))
            return 0
        survey = workspace.status(part)
    if console.as_json:
        console.document(survey_value(survey))
        return 0
    show_survey(console, survey, part)
    return 0


def show_survey(console: Console, survey: Survey, part: Scope) -> None:
    """Print the plan of a survey of this part, and the models that are not locked yet."""
    for warning in survey.warnings:
        console.warn(warning)
    if survey.stale:
        console.answer("not locked yet (sync locks it first, or run `synapse lock`)")
        for name in survey.stale:
            console.answer(f"  ? {name}")
    if survey.renamed:
        console.answer("renamed (their pins move along)")
        for name in survey.renamed:
            console.answer(f"  ~ {name}")
    if survey.dropped:
        console.answer("no longer declared (`synapse lock` drops them from synapse.lock)")
        for name in survey.dropped:
            console.answer(f"  · {name}")
    console.answers(plan_lines(survey.plan))
    if survey.in_sync:
        console.answer(in_sync_text(survey.plan.unchanged, part) + rest_text(survey.plan.spared, part))
    elif survey.plan.unchanged:
        console.answer(f"{count_text(survey.plan.unchanged, 'file')} in place")

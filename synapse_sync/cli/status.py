"""`synapse status`: show what sync would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.json_values import in_sync_value
from synapse_sync.cli.options import common, scope
from synapse_sync.cli.render import plan_lines, signed_line
from synapse_sync.cli.texts import NO_MODELS, cell_text, count_text, in_sync_text, rest_text, shown_paths
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.engine.scope import Scope
    from synapse_sync.engine.survey import Survey
    from synapse_sync.engine.unmanaged import Unmanaged


#: How many unmanaged files are listed without `--all`.
_SHOWN = 10


@click.command("status")
@click.option("--all", "everything", is_flag=True, help="List all previews, sidecars and unmanaged files.")
@click.option("--check", is_flag=True, help="Exit with 8 unless everything is in sync, for CI.")
@scope
@common
@click.pass_obj
def command(
    console: Console,
    everything: bool,
    check: bool,
    only: tuple[str, ...],
    groups: tuple[str, ...],
    targets: tuple[str, ...],
) -> int:
    """Show what sync would do: what is missing, changed, in the way or no longer wanted. Changes nothing.

    Also lists the models in managed folders that synapse did not place.
    """
    from synapse_sync.engine.scope import Scope
    from synapse_sync.errors import OutOfDate
    from synapse_sync.workspace import Workspace

    part = Scope(only=only, groups=groups, targets=targets)
    with Workspace.find(console.directory, offline=True) as workspace:
        quick = part.is_whole and not workspace.has_unmanaged()
        if quick and (count := workspace.unchanged()) is not None:
            if console.as_json:
                console.document(in_sync_value(count) | {"unmanaged": []})
            console.answer(in_sync_text(count))
            if not count and not workspace.manifest.models:
                console.say(NO_MODELS)
            return 0
        survey = workspace.status(part)
        others = workspace.unmanaged(survey)
        left_out = workspace.left_out(survey, others)
        is_empty = survey.in_sync and not workspace.manifest.models
    code = OutOfDate.exit_code if check and not survey.in_sync else 0
    if console.as_json:
        listed = [each.to_dict() | {"reason": left_out.get(each)} for each in others]
        console.document(survey.to_dict() | {"unmanaged": listed})
        return code
    show_survey(console, survey, part, everything=everything)
    _show_unmanaged(console, others, left_out, everything=everything)
    if is_empty and not others:
        console.say(NO_MODELS)
    return code


def _show_unmanaged(
    console: Console, others: Sequence[Unmanaged], left_out: Mapping[Unmanaged, str], *, everything: bool
) -> None:
    """Print the files that synapse did not place, how to declare them, and why some of them cannot be."""
    if not others:
        return
    files = count_text(len(others), "file")
    console.answer(f"unmanaged: {files} that synapse did not place, {size_text(sum(each.size for each in others))}")
    listed = sorted(others, key=left_out.__contains__)
    for each in listed if everything else listed[:_SHOWN]:
        size = f"  {size_text(each.size)}" if everything else ""
        path = cell_text(each.path) + size
        why = left_out.get(each)
        console.answer(f"  · {path}" if why is None else signed_line("·", None, f"{path}:", why, gap=" "))
    if not everything and len(others) > _SHOWN:
        more = "; `synapse status --all` lists them with their sizes"
        console.answer(f"  … and {len(others) - _SHOWN} more{more}")
    trees = dict.fromkeys(each.root for each in others if each not in left_out)
    if trees:
        those = "those without a reason" if left_out else "those that are models"
        console.answer(f"  `synapse import {shown_paths(trees)}` declares {those}, where they are")
    elif len(others) == 1:
        console.answer("  it cannot be declared as it is")
    else:
        console.answer("  none of them can be declared as it is")


def show_survey(console: Console, survey: Survey, part: Scope, *, everything: bool = False) -> None:
    """Print the plan of a survey of this part, and the models that are not locked yet.

    Previews and sidecars are counted, unless `everything` is wanted.
    """
    console.warnings(survey.warnings)
    if survey.stale:
        console.answer("not locked yet (sync locks it first, or run `synapse lock`)")
        console.answers(f"  ? {name}" for name in survey.stale)
    if survey.renamed:
        console.answer("renamed (their pins move along)")
        console.answers(f"  ~ {name}" for name in survey.renamed)
    if survey.dropped:
        console.answer("no longer declared (`synapse lock` drops them from synapse.lock)")
        console.answers(f"  · {name}" for name in survey.dropped)
    console.answers(plan_lines(survey.plan, everything=everything or console.verbose))
    if survey.in_sync:
        tried = f"; {survey.tried}" if survey.tried else ""
        rest = rest_text(survey.plan.spared, part)
        console.answer_text(in_sync_text(survey.plan.unchanged, part) + tried + rest)
    elif survey.plan.unchanged:
        console.answer(f"{count_text(survey.plan.unchanged, 'file')} in place")

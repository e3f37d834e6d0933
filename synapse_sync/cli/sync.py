"""`synapse sync`: make the trees match the lockfile."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from synapse_sync.cli.console import Console
from synapse_sync.cli.json_values import in_sync_value, nothing_done_value
from synapse_sync.cli.options import EnvironmentOption, common, limit_rate, offline, scope, switch, trusting
from synapse_sync.cli.render import outcome_lines
from synapse_sync.cli.texts import count_text, in_sync_text, rest_text
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.report import Report
    from synapse_sync.engine.push import Pushed
    from synapse_sync.engine.scope import Scope
    from synapse_sync.errors import SynapseError
    from synapse_sync.workspace import Workspace

_MODES = [mode.value for mode in LinkMode]


def _link_mode(ctx: click.Context, param: click.Parameter, value: str | None) -> LinkMode | None:
    return None if value is None else LinkMode(value)


@click.command(
    "sync",
    epilog="A variable in brackets sets its option: `ENV SYNAPSE_FROZEN=1 SYNAPSE_LINK_MODE=copy`.",
)
@switch("--locked", envvar="SYNAPSE_LOCKED", help="Refuse (exit 8) if the lockfile is out of date.")
@switch(
    "--frozen",
    envvar="SYNAPSE_FROZEN",
    help="Follow the lockfile as it is; a model that is not locked is an error.",
)
@offline
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan and do nothing.")
@click.option("--check", is_flag=True, help="Like --dry-run, and exit 8 if there is anything to do.")
@switch("--no-prune", envvar="SYNAPSE_NO_PRUNE", help="Remove nothing.")
@scope
@click.option(
    "--link-mode", cls=EnvironmentOption, metavar="M", type=click.Choice(_MODES), callback=_link_mode,
    envvar="SYNAPSE_LINK_MODE", help=f"{', '.join(_MODES[:-1])} or {_MODES[-1]}; without it, as declared or auto.",
)  # fmt: skip
@limit_rate("Limit all downloads together: 20MB, 500k (bytes a second).")
@click.option("--force", is_flag=True, help="Move files aside that are in the way; nothing is deleted.")
@click.option("-y", "--yes", is_flag=True, help="Agree to a large prune.")
@click.option(
    "--at", metavar="REV", help="Place what both files of this commit say; the present ones are not changed."
)
@click.option("--backfill", is_flag=True, help="Then upload what the first remote lacks of these files.")
@click.option("--repair", is_flag=True, help="With --backfill: replace the wrong files that remotes had.")
@trusting
@common
@click.pass_obj
def command(
    console: Console,
    locked: bool,
    frozen: bool,
    offline: bool,
    dry_run: bool,
    check: bool,
    no_prune: bool,
    only: tuple[str, ...],
    groups: tuple[str, ...],
    targets: tuple[str, ...],
    link_mode: LinkMode | None,
    limit_rate: int | None,
    force: bool,
    yes: bool,
    at: str | None,
    backfill: bool,
    repair: bool,
    trust: bool,
) -> int:
    """Download what is missing, verify it, link it into place, and remove what is no longer wanted.

    Only files that synapse placed or took over (`synapse import`), and that nobody changed since, are ever replaced
    or removed. The last copy of a file's bytes goes to the store first.
    """
    from synapse_sync.engine.scope import Scope
    from synapse_sync.errors import SynapseError
    from synapse_sync.workspace import Workspace

    locked, frozen = _one_of(locked, frozen)
    _check_options(at, locked=locked, repair=repair, backfill=backfill)
    part = Scope(only=only, groups=groups, targets=targets, link_mode=link_mode, prune=not no_prune, force=force)
    with ExitStack() as held:
        workspace = held.enter_context(
            Workspace.find(
                console.directory, offline=offline, limit_rate=limit_rate, trust=trust, ask=console.confirm
            )
        )
        if at is not None:
            workspace, frozen = held.enter_context(workspace.at(at)), True
        elif part.is_whole and not backfill and (count := workspace.unchanged()) is not None:
            return _nothing_to_do(console, count, only_shown=dry_run or check)
        if dry_run or check:
            return _show_plan(console, workspace, part, check=check, locked=locked, frozen=frozen)
        workspace.reporter = console.reporter()
        try:
            if backfill:
                workspace.check_backfill()
            report = workspace.sync(
                part, locked=locked, frozen=frozen, confirm=lambda question: yes or console.confirm(question)
            )
            pushed = workspace.backfill(repair=repair) if backfill else None
        except SynapseError as error:
            return _not_synced(console, error)
    code = conclude(console, report, part, pushed)
    if at is not None:
        words = "both files of the project are unchanged, and a plain sync follows them"
        console.say(f"these are the files of {at}; {words}")
    return code


def conclude(console: Console, report: Report, part: Scope, pushed: Pushed | None = None) -> int:
    """Print the outcome of a sync, its problems, and one line that says it all; returns the exit code.

    `pushed` is the outcome of the upload that followed, if one did.
    """
    code = _conclude(console, report, part, {} if pushed is None else {"backfill": pushed.to_dict()})
    if pushed is None:
        return code
    from synapse_sync.cli.store_remote import conclude_push

    return conclude_push(console, pushed) or code


def _conclude(console: Console, report: Report, part: Scope, more: Mapping[str, object]) -> int:
    console.close()
    console.warnings(report.warnings)
    if console.as_json:
        console.document({**report.to_dict(), **more})
    elif not console.quiet:
        console.answers(outcome_lines(report, everything=console.verbose))
    console.errors(report.errors)
    if report.plan.in_sync and report.ok:
        rest = rest_text(report.plan.spared, part)
        console.conclude(f"{in_sync_text(report.plan.unchanged, part)}, nothing to do{rest}")
        return 0
    if not report.exit_code and (stayed := _stayed(report)):
        console.say(f"{size_text(stayed)} stay in the store; `synapse store gc --now` frees what no project uses")
    failed = f"not synced: {report.summary()}, exit code {report.exit_code}"
    console.conclude(failed if report.exit_code else report.summary())
    return report.exit_code


def _stayed(report: Report) -> int:
    """Return the size of the pruned files, whose bytes are in the store until a collection; in bytes."""
    from synapse_sync.core.plan import Verb

    pruned = (o.action for o in report.outcomes if o.action.verb is Verb.PRUNE and o.error is None)
    return sum({action.sha256: action.size for action in pruned if action.companion is None}.values())


def _not_synced(console: Console, error: SynapseError) -> int:
    number = console.failure(error)
    console.conclude(f"not synced: {count_text(number, 'problem')}, exit code {error.exit_code}")
    return error.exit_code


def _check_options(at: str | None, *, locked: bool, repair: bool, backfill: bool) -> None:
    """Raise `UsageError` for options that contradict each other."""
    if at is not None and locked:
        raise click.UsageError("--at cannot be combined with --locked: it follows the lockfile of a commit")
    if repair and not backfill:
        raise click.UsageError("--repair needs --backfill")


def _one_of(locked: bool, frozen: bool) -> tuple[bool, bool]:
    """Return --locked and --frozen, of which one may be given; the command line goes before the environment."""
    if not (locked and frozen):
        return locked, frozen
    source = click.get_current_context().get_parameter_source
    typed = [source(name) is ParameterSource.COMMANDLINE for name in ("locked", "frozen")]
    if typed[0] == typed[1]:
        raise click.UsageError("--locked cannot be combined with --frozen")
    return typed[0], typed[1]


def _nothing_to_do(console: Console, count: int, *, only_shown: bool) -> int:
    if console.as_json:
        console.document(in_sync_value(count) if only_shown else nothing_done_value(count))
    console.conclude(f"{in_sync_text(count)}, nothing to do")
    return 0


def _show_plan(
    console: Console, workspace: Workspace, part: Scope, *, check: bool, locked: bool, frozen: bool
) -> int:
    from synapse_sync.cli.status import show_survey
    from synapse_sync.errors import OutOfDate

    survey = workspace.status(part, frozen=frozen)
    if console.as_json:
        console.document(survey.to_dict())
    else:
        show_survey(console, survey, part)
    stale = locked and not survey.is_locked
    return OutOfDate.exit_code if stale or (check and not survey.in_sync) else 0

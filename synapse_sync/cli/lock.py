"""`synapse lock`: pin versions and hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synapse_sync.cli.complete import model_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.diff import FORMATS, fact_lines, show_diff
from synapse_sync.cli.options import common, exclude_newer, offline, trusting
from synapse_sync.cli.render import change_lines
from synapse_sync.cli.texts import cell_text, count_text
from synapse_sync.core.findings import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from synapse_sync.core.drift import Drift
    from synapse_sync.engine.lock import Locked
    from synapse_sync.workspace import Workspace

#: The facts that are shown for a model of another version, and for one under the same reference.
_JUDGED = ("base model", "licence", "type")
_FACTS = ("files", "size", *_JUDGED, "trigger words")


@click.command("lock")
@click.option("--upgrade", is_flag=True, help="Look for newer versions of all models, as their policies allow.")
@click.option(
    "--upgrade-model",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=model_names,
    help="Upgrade this model only (repeatable).",
)
@click.option("--heal", is_flag=True, help="Look for further mirrors of all files, by their hashes.")
@click.option("--check", is_flag=True, help="Change nothing; exit 8 if the lockfile is out of date.")
@click.option("--remote", is_flag=True, help="With --check: ask the sites what became of the locked files.")
@click.option(
    "--min-places", "places", type=click.IntRange(1, 9), metavar="N",
    help="With --check: every file needs N origins.",
)  # fmt: skip
@click.option("-n", "--dry-run", is_flag=True, help="Ask the sites and show the changes; write neither file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    help="text, markdown or json.",
)
@exclude_newer("Resolve as of this day (YYYY-MM-DD) or instant.")
@offline
@trusting
@common
@click.pass_obj
def command(
    console: Console,
    upgrade: bool,
    names: tuple[str, ...],
    heal: bool,
    check: bool,
    remote: bool,
    places: int | None,
    dry_run: bool,
    form: str,
    exclude_newer: datetime | None,
    offline: bool,
    trust: bool,
) -> int:
    """Turn every requirement of synapse.toml into pinned versions with hashes in synapse.lock.

    For a model that is locked and unchanged, no site is asked again.
    """
    from synapse_sync.workspace import Workspace

    _refuse_options(
        upgrade=upgrade or bool(names), heal=heal, check=check, dry_run=dry_run, markdown=form == "markdown"
    )
    if (remote or places is not None) and not check:
        raise click.UsageError(f"{'--remote' if remote else '--min-places'} needs --check")
    if offline and (remote or heal):
        which = "--remote" if remote else "--heal"
        raise click.UsageError(f"{which} cannot be combined with --offline: it asks the sites")
    console.as_json = console.as_json or form == "json"
    with Workspace.find(
        console.directory, reporter=console.reporter(), offline=offline, trust=trust, ask=console.confirm
    ) as workspace:
        locked = workspace.lock(
            upgrade=None if upgrade else frozenset(names), exclude_newer=exclude_newer, check=check, heal=heal,
            dry_run=dry_run,
        )  # fmt: skip
        troubles = _troubles(workspace, locked)
        findings = workspace.drift(remote=remote, least=places or 1) if check else ()
    if console.as_json:
        more = {"findings": [each.to_dict() for each in findings]} if remote or places else {}
        console.document(locked.to_dict() | {"warnings": [*locked.warnings, *troubles], **more})
    console.warnings((*locked.warnings, *troubles))
    code = _show_findings(console, findings)
    if remote and not findings:
        console.say("the sites still have everything as it is locked")
    if check and locked.changes:
        return _out_of_date(console, locked)
    if code:
        return code
    if dry_run or form == "markdown":
        diff = locked.diff
        show_diff(console, diff, form)
        console.say(f"nothing was written; it would be: {diff.summary()}" if dry_run else locked.summary())
        return 0
    _report(console, locked, heal=heal)
    return 0


def _refuse_options(*, upgrade: bool, heal: bool, check: bool, dry_run: bool, markdown: bool) -> None:
    """Raise `UsageError` for options that exclude each other."""
    if check and (upgrade or heal):
        raise click.UsageError("--check cannot be combined with --upgrade, --upgrade-model or --heal")
    if dry_run and (check or heal):
        raise click.UsageError("--dry-run cannot be combined with --check or --heal")
    if check and markdown:
        raise click.UsageError("--check cannot be combined with --format markdown: it asks no site")


def _show_findings(console: Console, findings: Sequence[Drift]) -> int:
    """Print what is no longer as it was locked; return the exit code: a site that cannot be asked is no finding."""
    from synapse_sync.errors import NetworkError, OutOfDate

    for each in findings:
        sign = click.style("?" if each.kind == "unknown" else "!", fg="yellow")
        console.answer(f"  {sign} {each.model}  {each.kind}: {cell_text(each.text)}")
        if each.hint and not console.quiet:
            console.say(f"    hint: {cell_text(each.hint)}")
        console.annotate("warning", f"`{each.model}`: {each.kind}: {each.text}", each.hint)
    if any(each.kind == "origins" for each in findings):
        console.say("`synapse lock --heal` looks for further mirrors; `mirrors` in synapse.toml names them by hand")
    known = [each for each in findings if each.kind != "unknown"]
    if known:
        console.say(f"{count_text(len({each.model for each in known}), 'model')} with findings")
    return OutOfDate.exit_code if known else NetworkError.exit_code if findings else 0


def _out_of_date(console: Console, locked: Locked) -> int:
    """Print which models the lockfile does not answer; return the exit code."""
    from synapse_sync.errors import OutOfDate

    dropped = listed(change.name for change in locked.changes if change.kind == "removed")
    stale = listed(change.name for change in locked.changes if change.kind != "removed")
    said = [f"synapse.lock does not answer synapse.toml for {stale}"] if stale else []
    if locked.absent is not None:
        said = [f"{locked.absent}; not locked yet: {stale}"]
    if dropped:
        said.append(
            f"{'no longer declared' if said else 'synapse.lock has models that are no longer declared'}: {dropped}"
        )
    if not console.as_json:
        console.failure(OutOfDate("; ".join(said), hint="run `synapse lock`"))
    return OutOfDate.exit_code


def _report(console: Console, locked: Locked, *, heal: bool) -> None:
    """Print the changes, the new mirrors if `heal` looked for them, and the state of the lockfile."""
    if not console.quiet:
        console.answers(_change_lines(locked))
    for place in locked.healed:
        console.answer(
            f"  {click.style('+', fg='green')} {place.model}  {cell_text(f'{place.filename}  {place.place}')}"
        )
    if heal:
        files = len({(place.model, place.filename) for place in locked.healed})
        places = count_text(len(locked.healed), "new mirror")
        console.say(f"{places} for {count_text(files, 'file')}" if locked.healed else "no new mirrors were found")
    console.say(locked.summary())


def _change_lines(locked: Locked) -> Iterator[str]:
    """Return the lines of the changes: a changed model has a line for each fact by which a person judges it."""
    diffs = {each.name: each for each in locked.diff.models}
    for change in locked.changes:
        yield from change_lines([change])
        if change.kind == "changed" and change.name in diffs:
            diff = diffs[change.name]
            lines = [*fact_lines(diff, _JUDGED if change.before != change.after else _FACTS)]
            yield from lines if lines or change.before != change.after else fact_lines(diff)


def _troubles(workspace: Workspace, locked: Locked) -> tuple[str, ...]:
    """Return warnings about models that a sync would refuse.

    The lock itself is not refused: another machine may have other targets."""
    from synapse_sync.errors import Several, SynapseError
    from synapse_sync.layouts.arrange import arrange

    manifest = workspace.manifest
    try:
        models = {model.name: model for model in locked.lockfile.models}
        arrangement = arrange(manifest.here(), models, manifest.targets)
    except SynapseError as error:
        errors = error.errors if isinstance(error, Several) else (error,)
        return tuple(f"sync will refuse this: {e.message}" + (f"; {e.hint}" if e.hint else "") for e in errors)
    placed = {placement.model for placement in arrangement.placements}
    there = {placement.artifact.sha256 for placement in arrangement.placements}  # perhaps as another model's file
    # Of those declared here: with `--check`, the lockfile may have others.
    unplaced = {entry.name for entry in manifest.here()} - placed
    homeless = [
        name
        for name, model in models.items()
        if name in unplaced and model.artifacts and there.isdisjoint(a.sha256 for a in model.artifacts)
    ]
    return (*arrangement.notes, *(f"`{name}` is placed nowhere: no target accepts it" for name in homeless))

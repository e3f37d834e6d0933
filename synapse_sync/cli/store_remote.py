"""`synapse store push`, `pull`, `status` and `publish`: the locked files in remotes, for other machines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.complete import model_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, offline, spread, trusting
from synapse_sync.cli.texts import count_text
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.shard import Shard
    from synapse_sync.engine.push import Pushed
    from synapse_sync.errors import SynapseError

#: Files that are younger than this many days are never deleted from a remote, unless the user names another age.
AGE = 7
to_remote = click.option(
    "--to", metavar="ADDRESS", help="The remote; without it, the first of your remotes that can be written."
)


def exit_code(errors: Sequence[SynapseError]) -> int:
    """The exit code for failures of single files: their own if it is the same for all, else 1."""
    codes = {error.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else int(bool(codes))


@click.command("push", short_help="Upload locked files to a remote, under their digests.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=model_names)
@click.option("--all", "everything", is_flag=True, help="All locked files that everybody may download.")
@to_remote
@click.option("--repair", is_flag=True, help="Read and hash what is there, and replace wrong files.")
@spread("Upload")
@trusting
@common
@click.pass_obj
def push(
    console: Console,
    names: tuple[str, ...],
    everything: bool,
    to: str | None,
    repair: bool,
    shard: Shard,
    dask: str | None,
    trust: bool,
) -> int:
    """Upload the locked files of models to a remote: only what it lacks, under their digests.

    A sync on another machine asks its remotes before the sites. Files of this machine, of gated or private
    repositories, and those that need your token are uploaded only if you name their model.
    """
    if bool(names) == everything:
        raise click.UsageError("name the models to upload, or add --all" if not names else "--all needs no names")
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, trust=trust, ask=console.confirm) as workspace:
        workspace.reporter = console.reporter()
        pushed = workspace.push(names, to=to, repair=repair, shard=shard, dask=dask)
    console.close()
    if console.as_json:
        console.document(pushed.to_dict())
    return conclude_push(console, pushed)


def conclude_push(console: Console, pushed: Pushed) -> int:
    """Print the outcome of a push; returns the exit code."""
    for each in pushed.kept:
        console.say(f"not uploaded: `{each.model}` is {each.why}; name it to upload it")
    console.errors(pushed.errors)
    code = exit_code(pushed.errors)
    replaced = pushed.count("replaced")
    parts = [
        f"{count_text(pushed.count('pushed', 'replaced'), 'file')} uploaded, {size_text(pushed.sent)}",
        *([f"{replaced} of them replaced"] if replaced else []),
        f"{pushed.count('there')} there already",
        *([f"{pushed.count('failed')} failed, exit code {code}"] if code else []),
    ]
    console.conclude(f"{pushed.remote}: {', '.join(parts)}")
    return code


@click.command("pull", short_help="Bring locked files from the remotes into the store.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=model_names)
@offline
@trusting
@common
@click.pass_obj
def pull(console: Console, names: tuple[str, ...], offline: bool, trust: bool) -> int:
    """Bring the locked files of models, or of all, from the remotes into the store, and place nothing.

    Only the remotes are asked: a file that none of them has is an error.
    """
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, offline=offline, trust=trust, ask=console.confirm) as workspace:
        workspace.reporter = console.reporter()
        pulled = workspace.pull(names)
    console.close()
    console.warnings(pulled.warnings)
    if console.as_json:
        console.document(pulled.to_dict())
    console.errors(pulled.errors)
    code = exit_code(pulled.errors)
    total = size_text(sum(got.size for got in pulled.got))
    failed = f", {len(pulled.errors)} failed, exit code {code}" if code else ""
    came = count_text(len(pulled.got), "file")
    console.conclude(f"{came} pulled, {total}; {pulled.there} in the store already{failed}")
    return code


@click.command("status", short_help="Show which locked files each remote has.")
@click.option("--missing", is_flag=True, help="Name the files that are missing or wrong.")
@click.option("--check", is_flag=True, help="Exit 8 if a remote lacks a file, or has one of a wrong size.")
@trusting
@common
@click.pass_obj
def status(console: Console, missing: bool, check: bool, trust: bool) -> int:
    """Show how many of the locked files each remote has; each is asked once for each file."""
    from synapse_sync.errors import OutOfDate
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, trust=trust, ask=console.confirm) as workspace:
        states = workspace.remote_states()
    if console.as_json:
        console.document({"remotes": [state.to_dict() for state in states]})
    errors = []
    for state in states:
        if state.error is not None:
            errors.append(state.error)
            continue
        there, lacking = (sum(upload.size for upload in part) for part in (state.there, state.missing))
        words = f"has {count_text(len(state.there), 'file')}, {size_text(there)}"
        lack = f"lacks {count_text(len(state.missing), 'file')}, {size_text(lacking)}"
        wrong = f"has {count_text(len(state.wrong), 'file')} of a wrong size"
        rest = [*([lack] if state.missing else []), *([wrong] if state.wrong else [])]
        console.answer(f"{state.remote}  {'; '.join([words, *rest])}" if rest else f"{state.remote}  {words}: all")
        for upload in (*state.missing, *state.wrong) if missing else ():
            console.answer(f"  {upload.model}  {upload.filename}  {size_text(upload.size)}")
    console.errors(errors)
    lacking = check and any(state.missing or state.wrong for state in states)
    return exit_code(errors) or (OutOfDate.exit_code if lacking else 0)


@click.command("publish", short_help="Write the lockfile into a remote, which keeps its files.")
@to_remote
@trusting
@common
@click.pass_obj
def publish(console: Console, to: str | None, trust: bool) -> int:
    """Write synapse.lock into a remote, under its digest: `synapse store gc --remote` keeps the files it names.

    Publish before you push. A lockfile that is published is not changed any more; a later one is a second one. One
    whose bytes were damaged there is written anew.
    """
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, trust=trust, ask=console.confirm) as workspace:
        done = workspace.publish(to=to)
    if console.as_json:
        console.document(
            {"remote": done.remote.address, "sha256": done.sha256, "new": done.new, "mended": done.mended}
        )
    words = "published" if done.new else "published again" if done.mended else "already published"
    why = ": other bytes were there" if done.mended else ""
    console.conclude(f"{done.remote}: synapse.lock is {words} as {done.sha256[:16]}…{why}")
    return 0


def collect_remote(console: Console, *, to: str | None, days: float, dry_run: bool, yes: bool, trust: bool) -> int:
    """Delete what no published lockfile names from a remote, after showing it: `synapse store gc --remote`."""
    from synapse_sync.errors import InputError
    from synapse_sync.workspace import Workspace

    age = days * 86_400
    with Workspace.find(console.directory, trust=trust, ask=console.confirm) as workspace:
        plan = workspace.plan_remote_collection(to=to, age=age)
        for entry in plan.drop:
            day = time.strftime("%Y-%m-%d", time.gmtime(entry.modified))
            console.answer(f"  - {entry.path.rpartition('/')[2][:16]}…  {size_text(entry.size)}  of {day}")
        what = f"{count_text(len(plan.drop), 'file')}, {size_text(plan.bytes)}"
        freed, uploads = 0, None
        if not dry_run:
            if plan.drop and not yes and not console.confirm(f"Delete {what} from {plan.remote}?"):
                raise InputError(
                    "nothing was deleted", hint="add `--yes` to delete them, or `--dry-run` to list them"
                )
            freed, uploads = workspace.collect_remote(plan, age=age)
    if console.as_json:
        console.document(
            {
                "remote": plan.remote.address,
                "drop": [{"path": entry.path, "size": entry.size} for entry in plan.drop],
                "lockfiles": len(plan.lockfiles),
                "in_use": plan.in_use,
                "young": plan.young,
                "freed_bytes": freed,
                "aborted_uploads": uploads,
            }
        )
    kept = f"{plan.in_use:,} in use by {count_text(len(plan.lockfiles), 'lockfile')}, {plan.young:,} too young"
    console.say(f"{what} to delete; {kept}" if dry_run else f"freed {size_text(freed)}; {kept}")
    if uploads:
        console.say(f"dropped {count_text(uploads, 'upload')} that never ended")
    elif uploads is None and not dry_run:
        console.say("unfinished uploads are not listed there: a lifecycle rule of the bucket ends them")
    return 0

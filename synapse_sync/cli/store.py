"""`synapse store`: inspect and clean the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, spread, trusting
from synapse_sync.cli.store_remote import AGE, collect_remote, publish, pull, push, status, to_remote
from synapse_sync.cli.texts import count_text
from synapse_sync.core.size_text import size_text
from synapse_sync.user.places import expanded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse_sync.core.shard import Shard
    from synapse_sync.engine.collect import Collection, Unused


@click.group("store")
@common
def command() -> None:
    """The store holds every file once by its hash, however many trees use it.

    Several stores work as one, each for the targets on its volume. Remotes have the same files for other machines.
    """


for remote_command in (push, pull, status, publish):
    command.add_command(remote_command)


@command.command("path", short_help="Print the path of the main store.")
@common
@click.pass_obj
def path(console: Console) -> int:
    """Print the path of the main store; `synapse store list` shows all of them."""
    from synapse_sync.workspace import Workspace

    store = Workspace.anywhere(console.directory).settings.store
    if console.as_json:
        console.document({"path": str(store)})
    console.answer(str(store))
    return 0


@command.command("size")
@common
@click.pass_obj
def size(console: Console) -> int:
    """Print the size of the store, or of all stores together."""
    from synapse_sync.workspace import Workspace

    found = Workspace.anywhere(console.directory).stores()
    blobs, total, aside = (sum(getattr(each, name) for each in found) for name in ("blobs", "bytes", "set_aside"))
    if console.as_json:
        console.document({"blobs": blobs, "bytes": total, "set_aside_bytes": aside})
    console.answer(f"{size_text(total)} in {count_text(blobs, 'blob')}{_aside_text(aside)}")
    return 0


def _aside_text(size: int) -> str:
    return f", {size_text(size)} in quarantine" if size else ""


@command.command("gc", short_help="Drop blobs that nobody uses any more.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be dropped, and do nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--irreplaceable", is_flag=True, help="Also drop files that no known location offers.")
@click.option("--now", "at_once", is_flag=True, help="Also drop what is younger than an hour.")
@click.option("--remote", is_flag=True, help="Delete from a remote what no lockfile that is published there names.")
@to_remote
@click.option(
    "--days", metavar="N", type=click.FloatRange(min=0), default=AGE, show_default=True,
    help="With --remote: keep files that are younger than N days.",
)  # fmt: skip
@trusting
@common
@click.pass_obj
def gc(
    console: Console,
    dry_run: bool,
    yes: bool,
    irreplaceable: bool,
    at_once: bool,
    remote: bool,
    to: str | None,
    days: float,
    trust: bool,
) -> int:
    """Drop blobs that no project's lockfile or tree uses, after showing which.

    Files without a known location (adopted files, local paths) are kept, unless you add --irreplaceable. Blobs of
    the last hour may belong to a command that is still running: --now drops them, too, after waiting for the
    commands of all known projects. Downloads whose bytes were wrong are dropped from quarantine in the same way.

    With --remote, files are deleted from a remote: those that no lockfile there names, and that are old enough.
    """
    _check_gc(remote=remote, to=to, trust=trust, irreplaceable=irreplaceable, at_once=at_once)
    if remote:
        return collect_remote(console, to=to, days=days, dry_run=dry_run, yes=yes, trust=trust)
    from synapse_sync.errors import InputError
    from synapse_sync.workspace import Workspace

    workspace = Workspace.anywhere(console.directory)
    plan = workspace.plan_collection(irreplaceable=irreplaceable, at_once=at_once)
    value = {
        "drop": [
            {"sha256": blob.sha256, "size": blob.size, **({"also_in": str(blob.also)} if blob.also else {})}
            for blob in plan.drop
        ],
        "refused_downloads": [{"path": str(each.path), "size": each.size} for each in plan.refused],
        "kept_irreplaceable": [{"sha256": blob.sha256, "size": blob.size} for blob in plan.irreplaceable],
        "bytes": plan.bytes,
        "in_use": plan.in_use,
        "warnings": list(plan.warnings),
    }
    console.warnings(plan.warnings)
    console.answers(_lines(plan))
    freed = 0
    what, is_any = _what_goes(plan), bool(plan.drop or plan.refused)
    if is_any and not dry_run:
        if not yes and not console.confirm(f"Drop {what}, {size_text(plan.bytes)}?"):
            raise InputError("nothing was dropped", hint="add `--yes` to drop them, or `--dry-run` to list them")
        freed = workspace.collect(plan, on_wait=console.say, at_once=at_once)
    elif not dry_run:
        workspace.sweep_store()
    if console.as_json:
        console.document({**value, "freed_bytes": freed})
    kept = f"{plan.in_use:,} in use" + ("" if at_once else ", or younger than an hour (see --now)")
    console.say(
        f"{what} to drop, {size_text(plan.bytes)}; {kept}"
        if dry_run or not is_any
        else f"freed {size_text(freed)}; {kept}"
    )
    return 0


def _what_goes(plan: Collection) -> str:
    """The words for all files that a collection drops."""
    what = count_text(len(plan.drop), "blob")
    if not plan.refused:
        return what
    return (f"{what} and " if plan.drop else "") + count_text(len(plan.refused), "refused download")


def _lines(plan: Collection) -> Iterator[str]:
    """One line for each file that a collection drops, and for each unused one that it keeps."""
    yield from map(_drop_line, plan.drop)
    for each in plan.refused:
        yield f"  {click.style('-', fg='red')} {each.path}  {size_text(each.size)}  refused download"
    for blob in plan.irreplaceable:
        yield f"  · {blob.sha256[:16]}…  {size_text(blob.size)}  kept: no known location has it"


def _drop_line(blob: Unused) -> str:
    origin = blob.origin or "" if blob.also is None else f"needed only in {blob.also}, which has it"
    return f"  {click.style('-', fg='red')} {blob.sha256[:16]}…  {size_text(blob.size)}  {origin}"


def _check_gc(*, remote: bool, to: str | None, trust: bool, irreplaceable: bool, at_once: bool) -> None:
    """Raise `UsageError` for options that the collection would ignore: of a store, or of a remote."""
    source = click.get_current_context().get_parameter_source
    if not remote and to is not None:
        raise click.UsageError("--to needs --remote")
    if not remote and trust:
        raise click.UsageError("--trust needs --remote: a collection of the store asks for no consent")
    if not remote and source("days") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--days needs --remote; a store keeps what is younger than an hour")
    if remote and (irreplaceable or at_once):
        name = "--irreplaceable" if irreplaceable else "--now"
        raise click.UsageError(f"{name} cannot be combined with --remote: `--days` says what is old enough")


@command.command("forget", short_help="Forget a project that is gone.")
@click.argument("project", metavar="DIR")
@common
@click.pass_obj
def forget(console: Console, project: str) -> int:
    """Forget a project that is gone for good, so that its files can be dropped by gc.

    DIR is its directory, as gc printed it. A project that is synced again is remembered again.
    """
    from synapse_sync.workspace import Workspace

    directory = Path(os.path.abspath(project))  # noqa: PTH100 - a link in it may be gone, too
    Workspace.anywhere(console.directory).forget(directory)
    if console.as_json:
        console.document({"forgotten": str(directory)})
    console.say(f"forgot {directory}; `synapse store gc` drops the files that no other project uses")
    return 0


@command.command("verify", short_help="Hash every blob again; bad ones are set aside.")
@spread("Hash")
@common
@click.pass_obj
def verify(console: Console, shard: Shard, dask: str | None) -> int:
    """Hash every blob again; bad ones are set aside and never used."""
    from synapse_sync.errors import IntegrityError
    from synapse_sync.workspace import Workspace

    result = Workspace.anywhere(console.directory).verify_store(shard, dask)
    if console.as_json:
        console.document({"blobs": result.files, "bytes": result.bytes, "set_aside": list(result.set_aside)})
    console.errors(result.bad)
    console.say(f"verified {count_text(result.files, 'blob')}, {size_text(result.bytes)}")
    return IntegrityError.exit_code if result.bad else 0


@command.command("list", short_help="Show all stores, one a volume.")
@common
@click.pass_obj
def list_stores(console: Console) -> int:
    """Show all stores: the main one, and those on other volumes."""
    from synapse_sync.workspace import Workspace

    found = Workspace.anywhere(console.directory).stores()
    if console.as_json:
        value = [
            {
                "path": str(state.path), "main": state.main, "here": state.here, "blobs": state.blobs,
                "bytes": state.bytes, "set_aside_bytes": state.set_aside, "free_bytes": state.free,
            }
            for state in found
        ]  # fmt: skip
        console.document({"stores": value})
    for state in found:
        if state.here or state.main:
            words = f"{size_text(state.bytes)} in {count_text(state.blobs, 'blob')}{_aside_text(state.set_aside)}"
            words += f", {size_text(state.free)} free"
        else:
            words = "missing (is the drive mounted?)"
        console.answer(f"{state.path}  {words}{', the main store' if state.main and found[1:] else ''}")
    return 0


@command.command("add", short_help="Add a store on another volume.")
@click.argument("store", metavar="DIR")
@common
@click.pass_obj
def add_store(console: Console, store: str) -> int:
    """Make DIR a store for the targets on its volume, so that their files are linked and not copied.

    It is listed in `stores` of your settings. Your main store keeps all notes, and serves every other volume.

    Files that are placed already stay as they are. To move them over, run `synapse sync --link-mode hardlink` in
    each project: nothing is downloaded. Then `synapse store gc` frees the main store.
    """
    from synapse_sync.workspace import Workspace

    place = Path(os.path.abspath(expanded(store, "DIR")))  # noqa: PTH100 - a link to it is the user's choice
    Workspace.anywhere(console.directory).add_store(place)
    if console.as_json:
        console.document({"added": str(place)})
    console.say(f"added the store {place}: new files of targets on its volume go there from now on")
    console.say(
        "files that are placed already stay as they are; `synapse sync --link-mode hardlink` links them from "
        "there, and `synapse store gc` then frees the main store"
    )
    return 0


@command.command("remove", short_help="Leave a store out; its files stay.")
@click.argument("store", metavar="DIR")
@common
@click.pass_obj
def remove_store(console: Console, store: str) -> int:
    """Take DIR out of the `stores` of your settings. Nothing in it is deleted."""
    from synapse_sync.workspace import Workspace

    place = Path(os.path.abspath(expanded(store, "DIR")))  # noqa: PTH100
    Workspace.anywhere(console.directory).remove_store(place)
    if console.as_json:
        console.document({"removed": str(place)})
    console.say(f"{place} is no store any more; its files stay, since links may lead to them")
    return 0

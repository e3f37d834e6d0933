"""`synapse trust`: consent to what a manifest wants outside its project."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import cell_text, count_text, fold_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from synapse_sync.core.trust import Capability


@click.command("trust")
@click.option("--list", "listed", is_flag=True, help="Show your consents, for all projects.")
@click.option("--revoke", is_flag=True, help="Forget your consent for this project.")
@click.option(
    "--take", "taken", metavar="NAME", multiple=True,
    help="Hand the adopted files of a model to synapse: it may replace and remove them. May be repeated.",
)  # fmt: skip
@common
@click.pass_obj
def command(console: Console, listed: bool, revoke: bool, taken: tuple[str, ...]) -> int:
    """Agree to everything that synapse.toml wants outside its project, and keep that for this user.

    It is asked for only where a file could do harm: docs/security.md has the rules.
    """
    from synapse_sync.workspace import Workspace

    if listed and revoke:
        raise click.UsageError("--list cannot be combined with --revoke")
    if taken:
        if listed or revoke:
            raise click.UsageError("--take cannot be combined with --list or --revoke")
        return _take(console, taken)
    with Workspace.anywhere(console.directory) if listed else Workspace.find(console.directory) as workspace:
        if listed:
            return _show(console, workspace.trusted())
        changed = workspace.revoke_trust() if revoke else workspace.trust()
    if console.as_json:
        console.document({"revoked" if revoke else "agreed": [one.to_dict() for one in sorted(changed)]})
    for one in sorted(changed):
        console.answer(f"  {'-' if revoke else '+'} {fold_text(cell_text(str(one)), 4, sys.stdout)}")
    console.say(_summary(changed, revoke=revoke))
    return 0


def _take(console: Console, names: tuple[str, ...]) -> int:
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, offline=True, reporter=console.reporter()) as workspace:
        paths = workspace.take(names)
    console.close()
    if console.as_json:
        console.document({"taken": list(paths)})
    for path in paths:
        console.answer(f"  + {cell_text(path)}")
    kept = "nothing to hand over: no file of these models is adopted"
    console.say(f"{count_text(len(paths), 'file')} handed to synapse" if paths else kept)
    return 0


def _summary(changed: Collection[Capability], *, revoke: bool) -> str:
    if revoke:
        return f"{count_text(len(changed), 'consent')} revoked" if changed else "nothing to revoke for this project"
    if changed:
        return f"{count_text(len(changed), 'consent')} kept"
    return "nothing new to agree to: synapse asks for nothing else that synapse.toml wants"


def _show(console: Console, consents: Mapping[str, Collection[Capability]]) -> int:
    if console.as_json:
        console.document({project: [one.to_dict() for one in sorted(all)] for project, all in consents.items()})
    for project, agreed in consents.items():
        console.answer(cell_text(project))
        for one in sorted(agreed):
            console.answer(f"  {fold_text(cell_text(str(one)), 4, sys.stdout)}")
    if not consents:
        console.say("no consents are kept")
    return 0

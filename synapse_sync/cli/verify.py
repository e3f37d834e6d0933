"""`synapse verify`: hash everything again."""

from __future__ import annotations

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, offline
from synapse_sync.cli.render import outcome_lines


@click.command("verify", short_help="Hash every placed file again; --repair mends")
@click.option("--repair", is_flag=True, help="Set bad files aside, and sync again.")
@click.option(
    "--store", "whole_store", is_flag=True, help="Check every blob of the store, not only this project's."
)
@offline
@common
@click.pass_obj
def command(console: Console, repair: bool, whole_store: bool, offline: bool) -> int:
    """Hash the content of every placed file and its blob, and compare it with the lockfile.

    Bad blobs are set aside in the store's quarantine and never used again.
    """
    from synapse_sync.errors import IntegrityError, OutOfDate
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, offline=offline, reporter=console.reporter()) as workspace:
        result = workspace.verify(repair=repair, whole_store=whole_store)
    console.close()
    report = result.report
    if console.as_json:
        console.document(result.to_dict())
    console.warnings(result.warnings)
    console.errors(result.bad)
    for text in result.set_aside:
        console.say(f"set aside: {text}")
    if report is not None:
        if not console.as_json and not console.quiet:
            console.answers(outcome_lines(report))
        console.errors(report.errors)
        console.say("repaired" if not report.errors else "some files could not be repaired")
        return report.exit_code
    console.say(result.summary())
    if not result.bad:
        return 0
    unlocked = all(isinstance(error, OutOfDate) for error in result.bad)
    return OutOfDate.exit_code if unlocked else IntegrityError.exit_code

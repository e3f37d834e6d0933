"""`synapse verify`: hash everything again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, offline, spread
from synapse_sync.cli.render import outcome_lines

if TYPE_CHECKING:
    from synapse_sync.core.shard import Shard


@click.command("verify")
@click.option("--repair", is_flag=True, help="Set bad files aside, and sync again.")
@click.option(
    "--store", "whole_store", is_flag=True, help="Check every blob of the store, not only this project's."
)
@spread("Hash")
@offline
@common
@click.pass_obj
def command(
    console: Console, repair: bool, whole_store: bool, shard: Shard, dask: str | None, offline: bool
) -> int:
    """Hash the content of every placed file and its blob, and compare it with the lockfile.

    Bad blobs are set aside in the store's quarantine and never used again. One that was changed through its link in
    a tree stays there, unused, until --repair sets it aside.

    Many machines can share the work on a huge tree: --shard for the jobs of an array, --dask for the workers of a
    cluster.
    """
    from synapse_sync.errors import IntegrityError, OutOfDate
    from synapse_sync.workspace import Workspace

    if repair and shard.count > 1:
        raise click.UsageError("--repair cannot be combined with --shard: verify all parts, then repair once")
    with Workspace.find(console.directory, offline=offline, reporter=console.reporter()) as workspace:
        result = workspace.verify(repair=repair, whole_store=whole_store, shard=shard, dask=dask)
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
    console.say(result.summary() + (f" (part {shard})" if shard.count > 1 else ""))
    if not result.bad:
        return 0
    unlocked = all(isinstance(error, OutOfDate) for error in result.bad)
    return OutOfDate.exit_code if unlocked else IntegrityError.exit_code

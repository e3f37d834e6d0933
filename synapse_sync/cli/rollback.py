"""`synapse rollback`: return to the lockfile before the present one."""

from __future__ import annotations

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, offline, trusting
from synapse_sync.cli.sync import conclude


@click.command("rollback")
@offline
@click.option("-y", "--yes", is_flag=True, help="Agree to a large prune.")
@trusting
@common
@click.pass_obj
def command(console: Console, offline: bool, yes: bool, trust: bool) -> int:
    """Place what the previous committed synapse.lock says, then write both files of that commit.

    Files come from the store where it has them. If anything fails, both files stay as they are. Commit them to keep
    the rollback; `synapse sync --at REV` goes to any commit and changes neither file.
    """
    from synapse_sync.engine.scope import Scope
    from synapse_sync.workspace import Workspace

    with (
        Workspace.find(
            console.directory, reporter=console.reporter(), offline=offline, trust=trust, ask=console.confirm
        ) as workspace,
        workspace.at(commit := workspace.commit_before()) as then,
    ):
        report = then.sync(
            frozen=True, confirm=lambda question: yes or console.confirm(question), command="rollback"
        )
        if not report.errors:
            workspace.restore(then)
    code = conclude(console, report, Scope())
    short = commit[:12]
    kept = "synapse.toml and synapse.lock were not changed, since something failed"
    console.say(kept if code else f"synapse.toml and synapse.lock are those of {short}; commit them to keep them")
    return code

"""`synapse demo`: run the whole job on this machine."""

from __future__ import annotations

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common


@click.command("demo")
@click.option("--keep", metavar="DIR", type=click.Path(file_okay=False), help="Work in DIR, and keep it.")
@click.option("--serve", is_flag=True, help="Keep the hub up until Ctrl-C, and print how to use it in a shell.")
@common
@click.pass_obj
def command(console: Console, keep: str | None, serve: bool) -> int:
    """Start a small hub on the loopback address and run the whole job against it.

    Lock, sync, status, an upgrade, a prune, a corruption and its repair, by the real commands. No account, no
    internet, a few seconds.
    """
    from synapse_sync.demo.tour import tour

    if console.as_json:
        raise click.UsageError("the demo has no --json")
    if serve:
        if keep is not None:
            raise click.UsageError("--serve cannot be combined with --keep")
        from synapse_sync.demo.serve import serve as run

        return run(console.answer, console.say)
    return tour(_run, keep=keep)


def _run(arguments: list[str]) -> int:
    """Run one command in this process, by the code that the installed command runs; returns its exit code."""
    from synapse_sync.cli.main import main

    return main(arguments)

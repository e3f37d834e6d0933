"""`synapse remove`: remove models from the manifest."""

from __future__ import annotations

import click

from synapse_sync.cli.complete import model_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common


@click.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=model_names)
@common
@click.pass_obj
def command(console: Console, names: tuple[str, ...]) -> int:
    """Remove models from synapse.toml and synapse.lock; the next sync removes their files."""
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, offline=True) as workspace:
        gone = workspace.remove(names)
        last = not workspace.manifest.models
    if console.as_json:
        console.document({"removed": list(gone)})
    for name in () if console.quiet else gone:
        console.answer(f"  {click.style('-', fg='red')} {name}")
    if last:
        console.say("no model is left: `synapse sync --yes` removes the files; without `--yes` it asks first")
    else:
        console.say("`synapse sync` removes the files that no model wants any more")
    return 0

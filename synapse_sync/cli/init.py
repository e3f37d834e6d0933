"""`synapse init`: write a first manifest."""

from __future__ import annotations

import click

from synapse_sync.cli.complete import layout_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common


@click.command("init", short_help="Write a first synapse.toml for this directory")
@click.option(
    "--layout",
    metavar="NAME",
    shell_complete=layout_names,
    help="The UI: comfyui, a1111, forge, sdnext, swarmui, flat …",
)
@click.option("--root", metavar="DIR", help="The UI's directory; guessed by default.")
@common
@click.pass_obj
def command(console: Console, layout: str | None, root: str | None) -> int:
    """Write a commented synapse.toml; the layout is guessed from the files in the directory.

    Also adds two lines to .gitattributes, so that git keeps the additions of both branches in a merge.
    """
    from synapse_sync.workspace import Workspace

    created = Workspace.create(console.directory, layout=layout, root=root)
    if console.as_json:
        console.document({"manifest": str(created.manifest), "layout": created.layout, "root": created.root})
    console.say(f"wrote {created.manifest.name}: layout {created.layout}, root {created.root}")
    if created.attributes:
        console.say("wrote .gitattributes: in a merge, git keeps the additions of both branches")
    if created.warning is not None:
        console.warn(created.warning)
    console.say("next: `synapse add REFERENCE`, then `synapse sync`")
    return 0

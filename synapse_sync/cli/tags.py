"""`synapse tags`: list the tags of models on Civitai."""

from __future__ import annotations

import click

from synapse_sync.cli.civitai_options import limit
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import table_lines


@click.command("tags", short_help="List Civitai's tags")
@click.argument("query", required=False)
@limit
@common
@click.pass_obj
def command(console: Console, query: str | None, limit: int) -> int:
    """List tags that contain QUERY; `synapse search --tag TAG` lists the models that have one."""
    from synapse_sync.workspace import Workspace

    with Workspace.anywhere(console.directory) as workspace:
        found = workspace.discover("tags", lambda civitai: civitai.tags(query=query, limit=limit))
    if console.as_json:
        console.document({"tags": [{"name": tag.name, "models": tag.model_count} for tag in found]})
    elif found:
        if any(tag.model_count is not None for tag in found):
            rows = [(tag.name, str(tag.model_count or "")) for tag in found]
            console.answers(table_lines(rows, ("tag", "models"), shrink=0))
        else:  # the site stopped counting
            console.answers(table_lines([(tag.name,) for tag in found], ("tag",), shrink=0))
    else:
        console.say("nothing found")
    return 0

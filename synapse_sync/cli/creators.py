"""`synapse creators`: list the creators on Civitai."""

from __future__ import annotations

from urllib.parse import quote

import click

from synapse_sync.cli.civitai_options import limit
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import table_lines
from synapse_sync.sites import named


@click.command("creators", short_help="List Civitai's creators")
@click.argument("query", required=False)
@limit
@common
@click.pass_obj
def command(console: Console, query: str | None, limit: int) -> int:
    """List creators whose names contain QUERY; `synapse search --creator NAME` lists the models of one."""
    from synapse_sync.workspace import Workspace

    with Workspace.anywhere(console.directory) as workspace:
        found = workspace.discover("creators", lambda civitai: civitai.creators(query=query, limit=limit))
    values = [
        {
            "username": creator.username,
            "models": creator.model_count,
            "page": f"{named('civitai').home}/user/{quote(creator.username, safe='')}",
        }
        for creator in found
    ]
    if console.as_json:
        console.document({"creators": values})
    elif values:
        rows = [
            (str(v["username"]), "" if v["models"] is None else str(v["models"]), str(v["page"])) for v in values
        ]
        console.answers(table_lines(rows, ("creator", "models", "page"), shrink=0))
    else:
        console.say("nothing found")
    return 0

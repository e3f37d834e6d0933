"""`synapse creators`: list the creators on Civitai."""

from __future__ import annotations

from urllib.parse import quote

import click

from synapse_sync.cli.civitai_options import limit_or_all, names_of, page
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import table_lines
from synapse_sync.sites import named


@click.command("creators")
@click.argument("query", required=False)
@limit_or_all
@page
@common
@click.pass_obj
def command(console: Console, query: str | None, limit: int, page: int | None) -> int:
    """List creators whose names contain QUERY; `synapse search --creator NAME` lists the models of one."""
    found = names_of(
        console, "creators", lambda civitai: civitai.creators, lambda civitai: civitai.creators_page,
        query=query, limit=limit, page=page,
    )  # fmt: skip
    values = [
        {
            "username": creator.username,
            "models": creator.model_count,
            "page": f"{named('civitai').home}/user/{quote(creator.username, safe='')}",
            "link": creator.link,
            "image": creator.image,
        }
        for creator in found.items
    ]
    if console.as_json:
        console.document({"creators": values, "metadata": found.metadata})
    elif values:
        rows = [
            (str(v["username"]), "" if v["models"] is None else str(v["models"]), str(v["page"])) for v in values
        ]
        console.answers(table_lines(rows, ("creator", "models", "page"), shrink=0))
    else:
        console.say("nothing found")
    return 0

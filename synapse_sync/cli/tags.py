"""`synapse tags`: list the tags of models on Civitai."""

from __future__ import annotations

import click

from synapse_sync.cli.civitai_options import limit_or_all, names_of, page
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import table_lines


@click.command("tags")
@click.argument("query", required=False)
@limit_or_all
@page
@common
@click.pass_obj
def command(console: Console, query: str | None, limit: int, page: int | None) -> int:
    """List tags that contain QUERY; `synapse search --tag TAG` lists the models that have one."""
    found = names_of(
        console, "tags", lambda civitai: civitai.tags, lambda civitai: civitai.tags_page,
        query=query, limit=limit, page=page,
    )  # fmt: skip
    tags = found.items
    if console.as_json:
        values = [{"name": t.name, "models": t.model_count, "link": t.link, "type": t.type} for t in tags]
        console.document({"tags": values, "metadata": found.metadata})
    elif tags:
        if any(tag.model_count is not None for tag in tags):
            rows = [(tag.name, str(tag.model_count or "")) for tag in tags]
            console.answers(table_lines(rows, ("tag", "models"), shrink=0))
        else:  # the site stopped counting
            console.answers(table_lines([(tag.name,) for tag in tags], ("tag",), shrink=0))
    else:
        console.say("nothing found")
    return 0

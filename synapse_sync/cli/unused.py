"""`synapse unused`: list the models that no workflow names."""

from __future__ import annotations

from pathlib import Path

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import table_lines
from synapse_sync.core.size_text import count_text, size_text


@click.command("unused")
@click.option(
    "--workflows",
    "workflows",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory of your workflows, and of images with workflows.",
)
@common
@click.pass_obj
def command(console: Console, workflows: Path) -> int:
    """List the files of models in all targets that no workflow or image below DIR names, the largest first.

    Nothing is removed. A model that a node loads by itself, without a name in the workflow, is listed, too.
    """
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, offline=True) as workspace:
        found = workspace.unused(console.directory / workflows)
    if console.as_json:
        console.document(found.to_dict())
    for path, reason in found.unread:
        console.warn(f"{path}: {reason}; a model that it names may be listed here")
    rows = [(size_text(f.size), f"{f.target}: {f.path}", f.model or "not managed") for f in found.files]
    if rows:
        console.answers(table_lines(rows, ("size", "file", "model"), shrink=1, paths=True))
    count = f"{len(rows):,} unused of {count_text(found.every, 'file')}, {size_text(found.size)}"
    console.conclude(f"{count}; read {count_text(found.workflows, 'workflow')}")
    return 0

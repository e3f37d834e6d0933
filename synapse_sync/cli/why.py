"""`synapse why`: show which model put a file where it is, or why no model did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import word_lines
from synapse_sync.cli.texts import cell_text, on_terminal

if TYPE_CHECKING:
    from synapse_sync.engine.why import Why


@click.command("why")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@common
@click.pass_obj
def command(console: Console, file: Path) -> int:
    """Show the chain behind a file: its model, the requirement in synapse.toml, the target, the groups, and the
    file of another program that the model was imported from.

    FILE is a path, or the name alone of a file that a model wants.
    """
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, offline=True) as workspace:
        answers = workspace.why(file, console.directory)
    if console.as_json:
        console.document({"answers": [answer.to_dict() for answer in answers]})
    for number, answer in enumerate(answers):
        if number:
            console.answer()
        _tell(console, answer)
    return 0


def _tell(console: Console, answer: Why) -> None:
    console.answer(click.style(cell_text(answer.path), bold=True))
    state = answer.state if answer.how is None else f"{answer.state or 'listed'} ({answer.how})"
    words = {
        "kind": answer.kind if answer.kind != "model" else None,
        "model": answer.model,
        "requirement": answer.requirement,
        "reference": answer.reference,
        "groups": ", ".join(answer.groups),
        "origin": answer.origin,
        "target": None if answer.target is None else f"{answer.target}: {answer.root}",
        "state": state,
        "sha256": answer.sha256,
        "reason": answer.reason,
    }
    console.answers(word_lines(words, "  ", whole=not on_terminal(sys.stdout)))

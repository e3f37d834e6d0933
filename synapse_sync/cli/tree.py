"""`synapse tree`: show the targets with their folders and files as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, scope
from synapse_sync.cli.texts import cell_text
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.manifest.values import Target
    from synapse_sync.engine.tree import Branch, Leaf


@click.command("tree")
@scope
@common
@click.pass_obj
def command(console: Console, only: tuple[str, ...], groups: tuple[str, ...], targets: tuple[str, ...]) -> int:
    """Show the targets of synapse.toml, the folders of each, and the files in them, with the model of each file. A
    file that is not in place has its state in brackets.
    """
    from synapse_sync.engine.scope import Scope
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, offline=True) as workspace:
        survey = workspace.survey(Scope(only=only, groups=groups, targets=targets))
        found = workspace.branches(survey)
    if console.as_json:
        value = {"targets": [branch.to_dict() for branch in found], "not_locked": list(survey.not_locked)}
        console.document(value | {"warnings": list(survey.warnings)})
    console.warnings(survey.warnings)
    console.answers(["synapse.toml", *_lines(found, survey.not_locked)])
    return 0


def _lines(found: Sequence[Branch], stale: Sequence[str]) -> Iterator[str]:
    """The lines below the manifest: a branch for each target, and one for models that are not locked."""
    for number, branch in enumerate(found):
        last = number == len(found) - 1 and not stale
        yield _joint(last) + _target(branch.target)
        yield from _folders(branch.leaves, _rail(last))
    if stale:
        yield _joint(True) + click.style("not locked", fg="yellow")
        for number, name in enumerate(stale):
            yield _rail(True) + _joint(number == len(stale) - 1) + cell_text(name)


def _target(target: Target) -> str:
    groups = "" if target.groups is None else f", groups {', '.join(target.groups)}"
    about = cell_text(f"{target.layout}, {target.root}{groups}")
    return f"{click.style(cell_text(target.name), bold=True)}  {about}"


def _folders(leaves: Sequence[Leaf], rail: str) -> Iterator[str]:
    folders = [
        (folder, list(items)) for folder, items in groupby(leaves, lambda leaf: leaf.path.rpartition("/")[0])
    ]
    for number, (folder, items) in enumerate(folders):
        last = number == len(folders) - 1
        yield rail + _joint(last) + cell_text(folder or ".")
        for at, leaf in enumerate(items):
            yield rail + _rail(last) + _joint(at == len(items) - 1) + _leaf(leaf)


def _leaf(leaf: Leaf) -> str:
    state = "" if leaf.state == "placed" else click.style(f"  [{leaf.state}]", fg="yellow")
    words = (leaf.path.rpartition("/")[2], size_text(leaf.size), leaf.model)
    return "  ".join(map(cell_text, words)) + state


def _joint(last: bool) -> str:
    return "└─ " if last else "├─ "


def _rail(last: bool) -> str:
    return "   " if last else "│  "

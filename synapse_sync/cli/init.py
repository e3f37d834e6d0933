"""`synapse init`: write a first manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.complete import layout_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.import_ import adopted_value, show_adopted, take_in
from synapse_sync.cli.options import common, switch, trusting
from synapse_sync.cli.texts import count_text, shown_paths
from synapse_sync.user.places import MANIFEST

if TYPE_CHECKING:
    from synapse_sync.engine.init import Created, NearbyUI


@click.command("init")
@click.option(
    "--layout",
    metavar="NAME",
    shell_complete=layout_names,
    help="The UI: comfyui, a1111, forge, sdnext, swarmui, flat …",
)
@click.option("--root", metavar="DIR", help="The UI's directory; guessed by default.")
@click.option("--adopt", is_flag=True, help="Declare the models that are here already, as `synapse import` does.")
@switch("--offline", envvar="SYNAPSE_OFFLINE", help="With --adopt: ask no site.")
@trusting
@common
@click.pass_obj
def command(console: Console, layout: str | None, root: str | None, adopt: bool, offline: bool, trust: bool) -> int:
    """Write a commented synapse.toml; the layout is guessed from the files in the directory.

    UIs right below or beside the directory are offered as further targets, or listed where nobody can answer;
    the models that they have can be imported at once. In a git repository, .gitattributes gets two lines, so that
    git keeps the additions of both branches in a merge, and .gitignore gets lines for the placed weights.
    """
    from synapse_sync.workspace import Workspace

    found = Workspace.uis_near(console.directory)
    inside = [ui for ui in found if not ui.root.startswith("../")]
    first = next(iter(inside), None) if root is None else None
    others = [ui for ui in found if ui is not first and ui.root != root]
    if adopt and root is None and layout is None:
        others = [ui for ui in others if ui not in inside or first is None or first.root == "."]
    chosen = [ui for ui in others if console.confirm(_question(ui))]
    if adopt and root is None and layout is None:  # all UIs below count
        return _adopt(console, [".", *(ui.root for ui in chosen)], offline=offline, trust=trust)
    created = Workspace.create(console.directory, layout=layout, root=root, more=chosen)
    if adopt:
        roots = [created.root, *(ui.root for ui in chosen)]
        return _adopt(console, roots, offline=offline, trust=trust)
    rest = [ui for ui in others if ui not in chosen]
    taken = [ui for ui in (first, *chosen) if ui is not None]
    if console.as_json:
        console.document(
            {
                "manifest": str(created.manifest), "layout": created.layout, "root": created.root,
                "models": sum(ui.models for ui in taken),
                "warnings": list(created.warnings),
                "others": [{"layout": ui.layout, "root": ui.root, "models": ui.models} for ui in rest],
            }
        )  # fmt: skip
    _say(console, created, chosen, rest)
    full = [ui for ui in taken if ui.models]
    number = count_text(sum(ui.models for ui in full), "model")
    if full and not console.as_json and console.confirm(f"{number} found there. Declare them as they are now?"):
        return _adopt(console, [ui.root for ui in full], offline=offline, trust=trust)
    _say_next(console, full)
    return 0


def _question(ui: NearbyUI) -> str:
    return f"{ui.root} is a UI ({ui.layout}, {count_text(ui.models, 'model')}). Manage it as well?"


def _say(console: Console, created: Created, chosen: Sequence[NearbyUI], rest: Sequence[NearbyUI]) -> None:
    """Print what was written, and the UIs that were found."""
    from synapse_sync.engine.git_rules import IGNORED

    console.say(f"wrote {created.manifest.name}: layout {created.layout}, root {created.root}")
    for ui in chosen:
        console.say(f"  and layout {ui.layout}, root {ui.root}")
    if created.attributes:
        console.say("wrote .gitattributes: in a merge, git keeps the additions of both branches")
    if created.ignored:
        console.say(IGNORED)
    console.say(created.store)
    console.warnings(created.warnings)
    for ui in rest:
        console.say(f"also found: {ui.root}, layout {ui.layout}, {count_text(ui.models, 'model')}")
        console.say(f"  `synapse import {shown_paths([ui.root])}` adds it with its models")


def _say_next(console: Console, full: Sequence[NearbyUI]) -> None:
    """Print the next step; `full` are UIs that hold models already."""
    if not full:
        console.say("next: `synapse add REFERENCE`, then `synapse sync`")
        return
    number = sum(ui.models for ui in full)
    console.say(f"{count_text(number, 'model')} {'is' if number == 1 else 'are'} there already")
    console.say(f"next: `synapse import {shown_paths(ui.root for ui in full)}` declares them where they are")


def _adopt(console: Console, roots: Sequence[str], *, offline: bool, trust: bool) -> int:
    """Import some directories; the project begins with that."""
    from synapse_sync.engine.adopt import Ways
    from synapse_sync.workspace import Workspace

    ways = Ways(ask_sites=not offline)
    found = take_in(console, [console.directory / Path(root).expanduser() for root in roots], ways, trust=trust)
    if console.as_json:
        console.document(adopted_value(found, dry_run=False))
    show_adopted(console, found, ways=ways)
    if not found.adopted and not (console.directory / MANIFEST).exists():
        created = Workspace.create(console.directory)
        console.say(f"wrote {created.manifest.name}: layout {created.layout}, root {created.root}")
    return 0

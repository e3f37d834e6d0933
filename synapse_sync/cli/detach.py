"""`synapse detach`: make the trees independent of synapse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synapse_sync.cli.complete import target_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import cell_text
from synapse_sync.core.size_text import count_text, size_text

if TYPE_CHECKING:
    from synapse_sync.engine.detach import Detachment


@click.command("detach")
@click.option(
    "--target", "targets", multiple=True, metavar="T", shell_complete=target_names,
    help="Only this target (repeatable).",
)  # fmt: skip
@click.option("--copy", "own", is_flag=True, help="Make a file of its own of each hard link, too.")
@click.option("-n", "--dry-run", is_flag=True, help="Show which links would become files; change nothing.")
@common
@click.pass_obj
def command(console: Console, targets: tuple[str, ...], own: bool, dry_run: bool) -> int:
    """Turn every link to the store into a file with the same bytes, and remove the receipts and `.synapse`.

    Each file is verified, and replaces its link in one step. All other files stay as they are: hard links are files
    already, and what somebody changed is theirs. Both files of the project stay. An interrupted detach is finished
    by the next one; a sync adopts the files again.
    """
    from synapse_sync.engine.scope import Scope
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, reporter=console.reporter(), offline=True) as workspace:
        found = workspace.detach(Scope(targets=targets), own=own, dry_run=dry_run)
    if console.as_json:
        console.document(
            {
                "dry_run": dry_run,
                "roots": [str(root) for root in found.roots],
                "became_files": [{"target": t.target, "path": t.path, "size": t.size} for t in found.turns],
                "files": found.files,
                "hard_links": found.shared,
                "changed": list(found.changed),
            }
        )
    if dry_run:
        console.answers(f"~ {cell_text(str(turn.place))}  {size_text(turn.size)}" for turn in found.turns)
    _conclude(console, found, dry_run=dry_run)
    return 0


def _conclude(console: Console, found: Detachment, *, dry_run: bool) -> None:
    """Print the sum, and what stays as it is."""
    if not found.roots:
        console.conclude("nothing to detach: synapse has placed nothing here")
        return
    became = "would become files" if dry_run else "became files"
    turned = f"{count_text(len(found.turns), 'link')} {became} ({size_text(found.size)})"
    turned = turned if found.turns else "no link to the store"
    stay = found.files + len(found.changed)
    kept = f"{count_text(stay, 'file')} {'stays' if stay == 1 else 'stay'} as before"
    console.conclude(f"{turned}, {kept}")
    if found.shared:
        console.say(
            f"{count_text(found.shared, 'hard link')} share bytes with the store or another tree, and keep them "
            "without it; `--copy` makes files of their own"
        )
    if found.changed:
        console.say(f"{count_text(len(found.changed), 'file')} changed or gone since it was placed: not touched")

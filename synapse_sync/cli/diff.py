"""`synapse diff`: show how the lockfile differs from that of a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import cell_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from synapse_sync.core.lock_diff import LockDiff, ModelDiff, Shift

FORMATS = ("text", "markdown", "json")
_SIGNS = {
    "added": ("+", "green"), "removed": ("-", "red"), "moved": ("~", "yellow"), "renamed": ("~", "yellow"),
    "changed": ("~", "yellow"),
}  # fmt: skip
#: The facts that are shown for an added or a removed model; the others follow from its version.
_TELLING = ("type", "base model", "size", "licence", "trigger words")


@click.command("diff")
@click.argument("revision", default="HEAD", metavar="[REV]")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True,
    help="markdown is for pull requests, json for programs.",
)  # fmt: skip
@common
@click.pass_obj
def command(console: Console, revision: str, form: str) -> int:
    """Compare synapse.lock with that of a commit: HEAD, a branch, a tag, a hash.

    Models are added, removed, moved to another version or other bytes, renamed, or changed in other facts. Sizes,
    bases, licences and trigger words are shown from and to.
    """
    from synapse_sync.workspace import Workspace

    console.as_json = console.as_json or form == "json"
    with Workspace.find(console.directory, offline=True) as workspace:
        found, diff = workspace.diff(revision)
    console.warnings(found.warnings)
    if console.as_json:
        console.document(
            {"revision": revision, "commit": found.commit, **diff.to_dict(), "warnings": list(found.warnings)}
        )
    show_diff(console, diff, form)
    console.say(f"synapse.lock against {revision}: {diff.summary()}")
    return 0


def show_diff(console: Console, diff: LockDiff, form: str) -> None:
    """Print the differences of two lockfiles as text or as markdown."""
    from synapse_sync.core.lock_diff import markdown

    if form == "markdown":
        console.answer(markdown(diff).rstrip("\n"))
    elif not console.quiet:
        console.answers(line for model in diff.models for line in _lines(model))


def _lines(model: ModelDiff) -> Iterator[str]:
    """Return the lines of one model: its name and version, then each fact that differs."""
    sign, color = _SIGNS[model.kind]
    shifts = model.shifts
    version = next((shift for shift in shifts if shift.fact == "version"), None)
    name = cell_text(model.name)
    if model.before is not None and model.after is not None and model.before.name != model.after.name:
        name = f"{cell_text(model.before.name)} → {name}"
    both = model.before is not None and model.after is not None
    words = "" if version is None else version.text if both else "".join((*version.before, *version.after))
    yield f"{click.style(sign, fg=color)} {name}" + (
        f"  {click.style(cell_text(words), dim=True)}" if words else ""
    )
    yield from shift_lines(shifts, _TELLING if not both else (), both=both)


def fact_lines(model: ModelDiff, facts: Collection[str] = ()) -> Iterator[str]:
    """Return a line for each fact about a model that differs; `facts` names those that are meant, () means all."""
    return shift_lines(model.shifts, facts, both=model.before is not None and model.after is not None)


def shift_lines(shifts: Iterable[Shift], facts: Collection[str], *, both: bool) -> Iterator[str]:
    """Return these lines for facts that differ; `both` says that the model was locked and still is."""
    for shift in shifts:
        if shift.fact != "version" and (not facts or shift.fact in facts):
            text = shift.text if both else ", ".join((*shift.before, *shift.after))
            yield f"    {click.style(shift.fact.ljust(13), dim=True)}  {cell_text(text)}"

"""`synapse licenses`: list the terms of the locked models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import below_lines, is_too_wide, table_lines
from synapse_sync.cli.texts import count_text, cut_text

if TYPE_CHECKING:
    from synapse_sync.core.licenses import Terms

FORMATS = ("text", "csv", "markdown", "notice", "json")
_CREATOR = 16


@click.command("licenses")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True,
    help="csv for a table, markdown for a page, notice for a NOTICE file, json for programs.",
)  # fmt: skip
@common
@click.pass_obj
def command(console: Console, form: str) -> int:
    """List creator, licence and page of every locked model, and whether the licence permits commercial use.

    The licence is what its site said when the model was locked. `seen` is the day of the first commit that has it.
    A licence with conditions of its own counts as unknown: read it at its page. No request is sent.
    """
    from synapse_sync.core.license_reports import FORMATS as REPORTS
    from synapse_sync.workspace import Workspace

    console.as_json = console.as_json or form == "json"
    with Workspace.find(console.directory, offline=True) as workspace:
        terms = workspace.licenses()
    if console.as_json:
        console.document({"models": [each.to_dict() for each in terms]})
    elif form == "text":
        _show(console, terms)
    else:
        console.answer(REPORTS[form](terms).rstrip("\n"))
    return 0


def _show(console: Console, terms: tuple[Terms, ...]) -> None:
    """Print a table, and how many models permit commercial use."""
    from synapse_sync.core.license_reports import verdict

    rows: list[tuple[str, ...]] = [
        (t.name, t.licence or "unknown", verdict(t.commercial), cut_text(t.creator or "", _CREATOR), t.seen or "")
        for t in terms
    ]
    header: tuple[str, ...] = ("name", "licence", "commercial", "creator", "seen")
    below: Sequence[str] = ()
    if is_too_wide(rows, header):  # the terms themselves are never cut
        below = below_lines("licence", (row[1] for row in rows))
        rows, header = [(row[0], *row[2:]) for row in rows], (header[0], *header[2:])
    console.answers(table_lines(rows, header, shrink=0, below=below))
    permitted = sum(t.commercial is True for t in terms)
    console.say(f"{permitted:,} of {count_text(len(terms), 'model')} permit commercial use")

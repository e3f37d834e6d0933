"""`synapse outdated`: list the locked models that have newer versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, exclude_newer
from synapse_sync.cli.render import table_lines
from synapse_sync.cli.texts import cell_text, count_text, cut_text

if TYPE_CHECKING:
    from datetime import datetime

    from synapse_sync.engine.outdated import Pin, Standing

_COLUMNS = 14
#: How many models a line names.
_NAMES = 20


@click.command("outdated")
@click.option("--check", is_flag=True, help="Exit 8 if `synapse lock --upgrade` would change anything.")
@exclude_newer("Look as of this day (YYYY-MM-DD) or instant.")
@common
@click.pass_obj
def command(console: Console, check: bool, exclude_newer: datetime | None) -> int:
    """Compare the locked versions with those that `synapse lock --upgrade` would lock, and with the newest ones.

    An upgrade follows `policy`, `ignore` and `exclude-newer` of each model. Nothing is written or downloaded.
    """
    from synapse_sync.errors import OutOfDate, Several
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, reporter=console.reporter()) as workspace:
        standings = workspace.outdated(exclude_newer=exclude_newer)
    errors = [standing.error for standing in standings if standing.error is not None]
    outdated = [standing for standing in standings if standing.outdated]
    if console.as_json:
        console.document({"outdated": len(outdated), "models": [standing.to_dict() for standing in standings]})
    else:
        _tell(console, standings)
    console.errors(errors)
    if errors:
        return Several(errors).exit_code
    not_locked = any(standing.current is None for standing in standings)
    return OutOfDate.exit_code if check and (outdated or not_locked) else 0


def _tell(console: Console, standings: tuple[Standing, ...]) -> None:
    shown = [standing for standing in standings if standing.outdated or standing.held is not None]
    rows = [(s.name, _label(s.current), _upgrade(s), _top(s), _note(s)) for s in shown]
    if rows:
        console.answers(table_lines(rows, ("name", "locked", "upgrade", "newest", "remark"), shrink=0))
    for standing in standings:
        for change in standing.changes:
            sign = click.style("!", fg="yellow")
            console.answer(f"  {sign} {cell_text(standing.name)}  {change.kind}: {cell_text(change.text)}")
    for standing in standings:
        if standing.current is None and standing.error is None:
            console.answer(f"{standing.name}  not locked yet")
    unsure = [f"`{standing.name}`" for standing in standings if standing.unsure]
    if unsure:
        more = f" and {len(unsure) - _NAMES} more" if len(unsure) > _NAMES else ""
        console.say(
            f"whether files changed cannot be known without a download: {', '.join(unsure[:_NAMES])}{more} "
            "(the site has no digest)"
        )
    outdated = sum(standing.outdated for standing in standings)
    if outdated:
        console.say(f"`synapse lock --upgrade` would change {count_text(outdated, 'model')}")
    elif all(standing.current is not None and standing.error is None for standing in standings):
        console.say(f"nothing {'else ' if unsure else ''}that `synapse lock --upgrade` would change")


def _upgrade(standing: Standing) -> str:
    """Return the version that an upgrade would lock, where it differs; a plain file has no version to name."""
    if not standing.outdated:
        return ""
    label = _label(standing.allowed)
    return "changed" if label == _label(standing.current) else label


def _label(pin: Pin | None) -> str:
    """Return the name of a version, or its number if it has no name; for a plain address, the file in it."""
    if pin is None:
        return ""
    if pin.version is None and pin.reference.source in ("url", "path"):
        return cut_text(pin.reference.id.partition("?")[0].rpartition("/")[2], _COLUMNS)
    return cut_text(pin.version or pin.reference.revision or str(pin.reference), _COLUMNS)


def _top(standing: Standing) -> str:
    """Return the newest version if an upgrade would not lock it; else an empty text."""
    return _label(standing.newest) if standing.held is not None else ""


def _note(standing: Standing) -> str:
    if standing.held is not None:
        return standing.held
    current, allowed = standing.current, standing.allowed
    if current is None or allowed is None or current.reference.revision != allowed.reference.revision:
        return ""
    return "its files changed since the lock" if standing.replaced else "its facts changed since the lock"

"""`synapse list`: list the locked models and where they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.disk_use import deletable_lines, size_lines
from synapse_sync.cli.options import common, scope
from synapse_sync.cli.render import table_lines, trigger_lines
from synapse_sync.cli.texts import NO_MODELS, cell_text, fit_text, on_terminal, terminal_width
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.engine.inventory import Stock


_COLUMNS = ("name", "version", "type", "size", "placed", "trusted")
#: On a terminal with fewer columns the name is worth more than the version.
_NARROW = 60


@click.command("list")
@click.option("--sizes", is_flag=True, help="Print the disk use of each model, and what can be deleted.")
@scope
@common
@click.pass_obj
def command(
    console: Console, sizes: bool, only: tuple[str, ...], groups: tuple[str, ...], targets: tuple[str, ...]
) -> int:
    """List the locked models: name, version, type, size, and how many of their files are in place; below each, its
    trigger words.

    With --sizes: the bytes of each model in its locked files, on disk with all copies, and those that only it uses;
    then unmanaged files, duplicates, and what the store can drop. No file is read.
    """
    from synapse_sync.engine.scope import Scope
    from synapse_sync.workspace import Workspace

    part = Scope(only=only, groups=groups, targets=targets)
    with Workspace.find(console.directory, offline=True) as workspace:
        found = workspace.inventory(part)
        use = workspace.disk_use(part, [stock.model for stock in found.stocks]) if sizes else None
    if console.as_json:
        more = {} if use is None else {"sizes": [each.to_dict() for each in use.models], "deletable": use.to_dict()}
        elsewhere = [model.name for model in found.elsewhere]
        models = [_value(stock) for stock in found.stocks]
        console.document({"models": models, "not_locked": list(found.stale), "elsewhere": elsewhere} | more)
        return 0
    if use is not None:
        console.warnings(use.unused.warnings)
        console.answers(size_lines(use, {stock.model.name: stock.model.card.type for stock in found.stocks}))
    elif found.stocks:
        narrow = on_terminal(sys.stdout) and terminal_width() < _NARROW
        rows, header = _table(found.stocks, without={"version"} if narrow else set())
        below = trigger_lines(stock.model.card.trained_words for stock in found.stocks)
        console.answers(table_lines(rows, header, shrink=(1, 0), below=below))
    console.answers(f"{name}  not locked yet" for name in found.stale)
    console.answers(f"{model.name}  locked for machines that prefer it" for model in found.elsewhere)
    if use is not None:
        console.answers(deletable_lines(use))
    if not found.stocks and not found.stale:
        console.say(NO_MODELS)
    return 0


def _table(stocks: Sequence[Stock], without: AbstractSet[str]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """The rows and the header of the table of these models, without these columns and empty ones."""
    columns = dict(zip(_COLUMNS, zip(*map(_row, stocks), strict=True), strict=True))
    shown = {name: cells for name, cells in columns.items() if any(cells) and name not in without}
    return list(zip(*shown.values(), strict=True)), tuple(shown)


def _row(stock: Stock) -> tuple[str, ...]:
    """The cells of a model."""
    card, files = stock.model.card, stock.model.artifacts
    return (
        stock.model.name,
        fit_text(cell_text(card.version_name or ""), 24).rstrip(),
        card.type or "?",
        size_text(sum(file.size for file in files)),
        f"{sum(placed for _, placed in stock.places)}/{len(stock.places)}",
        "on first use" if any(file.trust == "first-use" for file in files) else "",
    )


def _value(stock: Stock) -> dict[str, Any]:
    """The JSON value of a model."""
    model = stock.model
    return {
        "name": model.name,
        "reference": model.reference.text,
        "title": model.card.title,
        "version": model.card.version_name,
        "type": model.card.type,
        "base_model": model.card.base_model,
        "trained_words": list(model.card.trained_words),
        "size": sum(artifact.size for artifact in model.artifacts),
        "first_use": [artifact.filename for artifact in model.artifacts if artifact.trust == "first-use"],
        "places": [{"target": p.target, "path": p.path.text, "placed": placed} for p, placed in stock.places],
    }

"""`synapse list`: list the locked models and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, scope
from synapse_sync.cli.render import table_lines, trigger_line
from synapse_sync.cli.texts import cell_text, fit_text
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.engine.inventory import Stock


@click.command("list", short_help="List the locked models and where they are")
@scope
@common
@click.pass_obj
def command(console: Console, only: tuple[str, ...], groups: tuple[str, ...], targets: tuple[str, ...]) -> int:
    """List the locked models: name, version, type, size, and how many of their files are in place; below each, its
    trigger words.
    """
    from synapse_sync.engine.scope import Scope
    from synapse_sync.workspace import Workspace

    part = Scope(only=only, groups=groups, targets=targets)
    with Workspace.find(console.directory, offline=True) as workspace:
        found = workspace.inventory(part)
    if console.as_json:
        values = [_value(stock) for stock in found.stocks]
        console.document({"models": values, "not_locked": list(found.stale)})
        return 0
    if found.stocks:
        header = ("name", "version", "type", "size", "placed", "trusted")
        below = [trigger_line(stock.model.card.trained_words) for stock in found.stocks]
        console.answers(table_lines([_row(stock) for stock in found.stocks], header, below=below))
    for name in found.stale:
        console.answer(f"{name}  not locked yet")
    if not found.stocks and not found.stale:
        console.say("no models; `synapse add REFERENCE` adds one")
    return 0


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

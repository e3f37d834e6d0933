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
    from synapse_sync.core.plan import Placement


@click.command("list", short_help="List the locked models and where they are")
@scope
@common
@click.pass_obj
def command(console: Console, only: tuple[str, ...], groups: tuple[str, ...], targets: tuple[str, ...]) -> int:
    """List the locked models: name, version, type, size, and how many of their files are in place; below each, its
    trigger words.
    """
    from synapse_sync.core.plan import State
    from synapse_sync.engine.scope import Scope
    from synapse_sync.workspace import Workspace

    part = Scope(only=only, groups=groups, targets=targets)
    with Workspace.find(console.directory, offline=True) as workspace:
        names = {entry.name for entry in workspace.entries(part)}
        survey = workspace.survey(part)
        models = [model for model in workspace.lockfile.models if model.name in names]
    by_model: dict[str, list[Placement]] = {}
    for placement in survey.arrangement.placements:
        if placement.known_as is not None:
            continue  # the path by which programs find it is listed
        by_model.setdefault(placement.model, []).append(placement)
    values: list[dict[str, Any]] = []
    for model in models:
        places = by_model.get(model.name, [])
        filled = {
            p.key
            for p in places
            if (o := survey.observed[p.key]).state is State.PLACED and o.sha256 == p.artifact.sha256
        }
        values.append(
            {
                "name": model.name,
                "reference": model.reference.text,
                "title": model.card.title,
                "version": model.card.version_name,
                "type": model.card.type,
                "base_model": model.card.base_model,
                "trained_words": list(model.card.trained_words),
                "size": sum(artifact.size for artifact in model.artifacts),
                "first_use": [artifact.filename for artifact in model.artifacts if artifact.trust == "first-use"],
                "places": [{"target": p.target, "path": p.path.text, "placed": p.key in filled} for p in places],
            }
        )
    if console.as_json:
        console.document({"models": values, "not_locked": list(survey.stale)})
        return 0
    rows = [
        (
            str(value["name"]),
            fit_text(cell_text(str(value["version"] or "")), 24).rstrip(),
            str(value["type"] or "?"),
            size_text(sum(artifact.size for artifact in model.artifacts)),
            f"{sum(p['placed'] for p in value['places'])}/{len(value['places'])}",
            "on first use" if value["first_use"] else "",
        )
        for model, value in zip(models, values, strict=True)
    ]
    if rows:
        header = ("name", "version", "type", "size", "placed", "trusted")
        below = [trigger_line(model.card.trained_words) for model in models]
        console.answers(table_lines(rows, header, below=below))
    for name in survey.stale:
        console.answer(f"{name}  not locked yet")
    if not rows and not survey.stale:
        console.say("no models; `synapse add REFERENCE` adds one")
    return 0

"""`synapse list`: list the locked models and where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, scope
from synapse_sync.cli.render import table_lines, trigger_line
from synapse_sync.cli.texts import cell_text, fit_text
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.lockfile import LockedModel
    from synapse_sync.core.plan import Key, Observed, Placement


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
        names = {entry.name for entry in workspace.entries(part)}
        survey = workspace.survey(part)
        models = [model for model in workspace.lockfile.models if model.name in names]
    by_model: dict[str, list[Placement]] = {}
    for placement in survey.arrangement.placements:
        if placement.known_as is not None:
            continue  # the path by which programs find it is listed
        by_model.setdefault(placement.model, []).append(placement)
    values = [_value(model, by_model.get(model.name, ()), survey.observed) for model in models]
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


def _value(model: LockedModel, places: Sequence[Placement], observed: Mapping[Key, Observed]) -> dict[str, Any]:
    """The JSON value of a model, whose files belong at these places."""
    from synapse_sync.core.plan import State

    def is_placed(place: Placement) -> bool:
        found = observed[place.key]
        return found.state is State.PLACED and found.sha256 == place.artifact.sha256

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
        "places": [{"target": p.target, "path": p.path.text, "placed": is_placed(p)} for p in places],
    }

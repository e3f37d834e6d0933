"""`synapse show`: show everything about one model."""

from __future__ import annotations

from typing import Any

import click

from synapse_sync.cli.complete import model_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import card_lines
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.size_text import size_text


@click.command("show", short_help="Show everything about one model")
@click.argument("name", shell_complete=model_names)
@common
@click.pass_obj
def command(console: Console, name: str) -> int:
    """Show what is locked of one model, where it comes from, and where it is."""
    from synapse_sync.engine.scope import Scope
    from synapse_sync.errors import InputError
    from synapse_sync.workspace import Workspace

    with Workspace.find(console.directory, offline=True) as workspace:
        found = [m for m in workspace.lockfile.models if name in (m.name, m.model)]
        if not found:
            declared = {entry.name for entry in workspace.manifest.entries()}
            known = sorted({*declared, *(m.name for m in workspace.lockfile.models)})
            hint = suggestion(name, known, "`synapse list` lists all")
            if name in declared:
                hint = "it is declared; `synapse lock` locks it"
            raise InputError(f"no model `{name}` in synapse.lock", hint=hint)
        survey = workspace.survey(Scope(only=tuple(model.name for model in found)))
    values: list[dict[str, Any]] = []
    for model in found:
        card = model.card
        files = [
            {
                "filename": a.filename, "size": a.size, "sha256": a.sha256, "blake3": a.blake3, "format": a.format,
                "precision": a.precision, "role": a.role, "url": a.url.text,
                "mirrors": [mirror.text for mirror in a.mirrors], "scan": a.scan,
                "trust": a.trust,
                "archive": None if a.archive is None else
                {"member": a.archive.member, "size": a.archive.size, "sha256": a.archive.sha256},
            }
            for a in model.artifacts
        ]  # fmt: skip
        places = [
            {
                "target": p.target, "path": p.path.text,
                "state": survey.observed[p.key].state.value, "how": survey.observed[p.key].how,
            }
            for p in survey.arrangement.placements if p.model == model.name and p.known_as is None
        ]  # fmt: skip
        values.append(
            {
                "name": model.name, "reference": model.reference.text, "requirement": model.requirement,
                "title": card.title, "version": card.version_name, "type": card.type, "base_model": card.base_model,
                "published": card.published, "trained_words": list(card.trained_words),
                "license": dict(card.license),
                "nsfw": card.nsfw, "files": files, "places": places,
            }
        )  # fmt: skip
    if console.as_json:
        console.document({"models": values})
        return 0
    for number, value in enumerate(values):
        if number:
            console.answer()
        _tell(console, value)
    return 0


def _tell(console: Console, value: dict[str, object]) -> None:
    """Print one model: its card, its files, its places."""
    console.answer(click.style(str(value["name"]), bold=True))
    words = {
        key: value[key]
        for key in ("title", "version", "type", "base_model", "published", "reference", "requirement")
    }
    shown = {key.replace("_", " "): str(text) for key, text in words.items() if text}
    if value["trained_words"]:
        shown["trained words"] = ", ".join(str(word) for word in _list(value["trained_words"]))
    if isinstance(value["license"], dict) and value["license"]:
        shown["license"] = ", ".join(f"{key}: {_yes(text)}" for key, text in value["license"].items())
    for line in card_lines(shown):
        console.answer(f"  {line}")
    for file in _list(value["files"]):
        assert isinstance(file, dict)
        console.answer(f"  {click.style('file', bold=True)}  {file['filename']}  {size_text(file['size'])}")
        fields = {
            key: str(file[key]) for key in ("sha256", "url", "format", "precision", "scan", "trust") if file[key]
        }
        if isinstance(archive := file["archive"], dict):
            fields["member"] = f"{archive['member']} of archive sha256:{archive['sha256']}"
        for line in card_lines(fields):
            console.answer(f"    {line}")
    for place in _list(value["places"]):
        assert isinstance(place, dict)
        how = f" ({place['how']})" if place["how"] else ""
        console.answer(
            f"  {click.style('place', bold=True)}  {place['target']}: {place['path']}  {place['state']}{how}"
        )


def _yes(value: object) -> object:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value

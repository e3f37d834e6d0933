"""`synapse show`: show everything about one model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.card import about_text, file_lines, version_words
from synapse_sync.cli.complete import model_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import with_remark, word_lines
from synapse_sync.cli.texts import on_terminal
from synapse_sync.cli.web import open_page, web
from synapse_sync.core.licenses import licence_words
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.page import page_of

if TYPE_CHECKING:
    from synapse_sync.core.lockfile import LockedModel


@click.command("show")
@click.argument("name", shell_complete=model_names)
@web
@common
@click.pass_obj
def command(console: Console, name: str, web: bool) -> int:
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
    if web:
        for model in found:
            open_page(console, page_of(model.reference), model.name)
    if console.as_json or web:
        return 0
    for number, (model, value) in enumerate(zip(found, values, strict=True)):
        if number:
            console.answer()
        _tell(console, model, value["places"])
    return 0


def _tell(console: Console, model: LockedModel, places: list[dict[str, Any]]) -> None:
    """Print one model: its card, its version, its files, its places, in the words of `synapse info`."""
    card, whole = model.card, not on_terminal(sys.stdout)
    console.answer(click.style(model.name, bold=True))
    about = {
        "title": card.title,
        "type": card.type,
        "page": page_of(model.reference),
        "license": licence_words(card.license),
        "requirement": model.requirement,
        "reference": model.reference.text,
        "version": card.version_name,
        **version_words(card),
    }
    console.answers(word_lines(about, "  ", whole=whole))
    for artifact in model.artifacts:
        archive = artifact.archive
        facts = {"format": artifact.format, "precision": artifact.precision, "scan": artifact.scan}
        remark = "trusted on first use" if artifact.trust == "first-use" else ""
        words = {
            "about": about_text(facts),
            "sha256": artifact.sha256,
            "blake3": artifact.blake3,
            "url": artifact.url.text,
            "mirrors": ", ".join(mirror.text for mirror in artifact.mirrors),
            "member": None if archive is None else f"{archive.member} of archive sha256:{archive.sha256}",
        }
        console.answers(file_lines(artifact.filename, artifact.size, remark, words, whole=whole))
    for place in places:
        how = f" ({place['how']})" if place["how"] else ""
        text = f"  {click.style('place', bold=True)}  {place['target']}: {place['path']}"
        console.answer(with_remark(text, f"{place['state']}{how}"))

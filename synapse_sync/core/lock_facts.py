"""Lock facts: the facts about a locked model by which a person judges it, as texts and for JSON. Pure."""

from __future__ import annotations

from typing import Any

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.size_text import size_text

#: Characters of a commit or of a digest that a person compares.
_SHORT = 12


def model_value(model: LockedModel) -> dict[str, Any]:
    """The facts about a locked model as `--json` prints them; sizes are in bytes."""
    card = model.card
    return {
        "name": model.name,
        "reference": model.reference.text,
        "title": card.title,
        "version": card.version_name,
        "type": card.type,
        "base_model": card.base_model,
        "published": card.published,
        "trained_words": list(card.trained_words),
        "license": dict(card.license),
        "size": sum(artifact.size for artifact in model.artifacts),
        "files": [{"filename": a.filename, "size": a.size, "sha256": a.sha256} for a in model.artifacts],
    }


def facts(model: LockedModel) -> dict[str, tuple[str, ...]]:
    """The facts about a locked model, each with its values as texts; unknown ones are left out."""
    card = model.card
    known: dict[str, tuple[str, ...]] = {
        "version": (version_text(model),),
        "reference": (model.reference.text,),
        "type": (card.type or "",),
        "base model": (card.base_model or "",),
        "size": (size_text(sum(artifact.size for artifact in model.artifacts)),),
        "gate": (card.gated or "",),
        "licence": tuple(f"{key}: {_word(value)}" for key, value in card.license),
        "trigger words": card.trained_words,
        "files": tuple(f"{each.filename} (sha256 {each.sha256[:_SHORT]})" for each in model.artifacts),
        "details": tuple(_details(each) for each in model.artifacts),
        "requirement": (model.requirement,),
        "mirrors": tuple(sorted({mirror.text for each in model.artifacts for mirror in each.mirrors})),
        "previews": tuple(preview.url.text for preview in card.previews),
    }
    return {fact: tuple(filter(None, values)) for fact, values in known.items() if any(values)}


def _details(file: Artifact) -> str:
    """The facts about one file that only a close look needs; "" if none is known."""
    first_use = "trusted on first use" if file.trust is not None else None
    scan = None if file.scan is None else f"scan {file.scan}"
    words = [
        word for word in (file.precision, file.role if file.role != "model" else None, scan, first_use) if word
    ]
    return f"{file.filename}: {', '.join(words)}" if words else ""


def version_text(model: LockedModel) -> str:
    """The site's word for a version, with its number where it is one: `v2 (128713)`; else a short commit."""
    revision = model.reference.revision or ""
    short = revision if revision.isdecimal() else revision[:_SHORT]
    name = model.card.version_name
    return f"{name} ({short})" if name and short and name != short else name or short


def _word(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)

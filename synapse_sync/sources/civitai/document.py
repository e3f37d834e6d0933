"""`.civitai.info`: what Civitai says about a version, word for word, as its helpers keep it beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from synapse_sync.core.reference import Reference
from synapse_sync.errors import NetworkError, SynapseError
from synapse_sync.sources.civitai.client import Client
from synapse_sync.sources.civitai.schema import Model


def documents(client: Client, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
    """The documents of pinned versions: one request for each, and one per hundred models. Failures are values."""
    models = client.models_by_ids({int(reference.id) for reference in references if reference.id})
    found: dict[Reference, bytes | SynapseError] = {}
    for reference in references:
        try:
            said = client.version_words(int(reference.revision or 0))
        except SynapseError as error:
            found[reference] = error
            continue
        if not said:
            found[reference] = NetworkError(f"Civitai says nothing about version {reference.revision}")
            continue
        model = models.get(int(reference.id)) if reference.id else None
        found[reference] = _text(said, model if isinstance(model, Model) else None)
    return found


def _text(said: Mapping[str, Any], model: Model | None) -> bytes:
    """The version as it was answered, with the model's description, which only the model itself has."""
    brief = said.get("model")
    words = dict(brief) if isinstance(brief, Mapping) else {}
    if model is not None and model.description is not None:
        words.setdefault("description", model.description)
    return json.dumps({**said, "model": words}, ensure_ascii=False, indent=4).encode("utf-8", "replace") + b"\n"

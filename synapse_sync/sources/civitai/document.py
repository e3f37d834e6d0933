"""`.civitai.info`: the site's answer about a version, unchanged, as other tools keep it beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from synapse_sync.core.reference import Reference
from synapse_sync.errors import NetworkError, SynapseError
from synapse_sync.sources.civitai.client import Client
from synapse_sync.sources.civitai.schema import Model


def documents(client: Client, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
    """Return the documents of pinned versions: a request for each, and one per hundred models.

    A failure is a value.
    """
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
    """Return the answer about the version, with the description, which only the answer about the model has."""
    brief = said.get("model")
    words = dict(brief) if isinstance(brief, Mapping) else {}
    if model is not None and model.description is not None:
        words.setdefault("description", model.description)
    return json.dumps({**said, "model": words}, ensure_ascii=False, indent=4).encode("utf-8", "replace") + b"\n"

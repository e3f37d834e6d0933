"""`.civitai.info`: the site's answer about a version, unchanged, as other tools keep it beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from synapse_sync.core.reference import Reference
from synapse_sync.errors import NetworkError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sources.civitai.client import AT_ONCE, Client
from synapse_sync.sources.civitai.schema import Model


def documents(client: Client, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
    """Return the documents of pinned versions: a request for each, and one per hundred models.

    A failure is a value.
    """
    models: dict[int, Model | SynapseError] = {}
    ids = {int(reference.id) for reference in references if reference.id}

    def ask(reference: Reference | None) -> Mapping[str, Any] | SynapseError:
        if reference is None:
            models.update(client.models_by_ids(ids))
            return {}
        try:
            return client.version_words(int(reference.revision or 0))
        except SynapseError as error:
            return error

    found: dict[Reference, bytes | SynapseError] = {}
    _, *answers = at_once(ask, [None, *references], AT_ONCE)
    for reference, said in zip(references, answers, strict=True):
        if isinstance(said, SynapseError):
            found[reference] = said
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

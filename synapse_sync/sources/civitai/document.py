"""The site's answers for sidecars: `.civitai.info`, the model's document, and facts beyond the lockfile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synapse_sync.core.companion import sidecar_bytes
from synapse_sync.core.reference import Reference
from synapse_sync.core.site_facts import SiteFacts
from synapse_sync.errors import NetworkError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sources.civitai.client import AT_ONCE, Client
from synapse_sync.sources.civitai.schema import Model

#: The most tags, and the most characters of one and of a description, that a sidecar gets.
_TAGS, _TAG, _DESCRIPTION = 100, 100, 200_000


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
    return sidecar_bytes({**said, "model": words})


def model_documents(client: Client, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
    """Return the answer about the model of each reference: a request for each model. A failure is a value."""
    ids = sorted({int(reference.id) for reference in references if reference.id})

    def ask(model_id: int) -> bytes | SynapseError:
        try:
            return sidecar_bytes(client.model_words(model_id))
        except SynapseError as error:
            return error

    answers = dict(zip(ids, at_once(ask, ids, AT_ONCE), strict=True))
    return {reference: answers[int(reference.id)] for reference in references if reference.id}


def facts(client: Client, references: Sequence[Reference]) -> Mapping[Reference, SiteFacts]:
    """Return the facts about the model of each reference; those without an answer are left out."""
    models = client.models_by_ids({int(reference.id) for reference in references if reference.id})
    found = {}
    for reference in references:
        model = models.get(int(reference.id)) if reference.id else None
        if isinstance(model, Model):
            found[reference] = _facts(model)
    return found


def _facts(model: Model) -> SiteFacts:
    """The facts about a model. Their number and length are bounded: other programs show them."""
    files = [file for version in model.versions for file in version.files if file.hashes.sha256]
    return SiteFacts(
        type=model.type,
        tags=tuple(tag[:_TAG] for tag in model.tags[:_TAGS]),
        description=(model.description or "")[:_DESCRIPTION],
        autov3={str(f.hashes.sha256): f.hashes.autov3[:12].lower() for f in files if f.hashes.autov3},
        sizes={str(f.hashes.sha256): f.size.lower() for f in files if f.size},
    )

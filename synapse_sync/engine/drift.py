"""Drift: ask the sites whether everything that is locked can still be had as it was. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator

from synapse_sync.core.drift import Drift, drift_of, offered
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.reference import Reference
from synapse_sync.engine.choose import ask_all
from synapse_sync.engine.lock import explained
from synapse_sync.engine.pin import Sizes, measured
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import AccessDenied, NotFound, SynapseError
from synapse_sync.project import Project
from synapse_sync.sources.base import Ask, Resolved


def drift(project: Project, tools: Tools) -> tuple[Drift, ...]:
    """Compare every locked model with its site; each site is asked once, in bulk where it can be.

    Local files are left out. Raises `NotTrusted` for a place that needs the user's consent.
    """
    models = [model for model in project.lockfile.models if model.reference.source != "path"]
    entries = project.manifest.entries()
    places = [(model.name, place) for model in models for place in _places(model)]
    tools.trust.require(tools.trust.locked(places, entries))
    asks = [(m.reference.source, Ask(key=m.name, reference=m.reference)) for m in models]
    answers = ask_all(asks, tools.sources)
    unsized = [
        (file.url,)
        for model in models
        if isinstance(answer := answers[model.name], Resolved)
        for artifact in model.artifacts
        if (file := offered(artifact, answer.candidates)) is not None
        and file.sha256 is None and file.git_sha1 is None and file.size is None
    ]  # fmt: skip
    lengths = measured(unsized, explained(tools.transfers().measure, tools.sources)) if unsized else {}
    named = {entry.name for entry in entries if entry.filename is not None}
    return tuple(
        found
        for model in models
        for found in _findings(model, answers[model.name], lengths, own_name=model.name in named)
    )


def _places(model: LockedModel) -> list[Reference]:
    return [model.reference, *(artifact.url for artifact in model.artifacts)]


def _findings(
    model: LockedModel, answer: Resolved | SynapseError, lengths: Sizes, *, own_name: bool
) -> Iterator[Drift]:
    if isinstance(answer, SynapseError):
        yield _failure(model, answer)
        return
    known = {places[0]: size for places, size in lengths.items() if isinstance(size, int)}
    yield from drift_of(model, answer.card, answer.candidates, known, own_name=own_name)
    yield from (Drift(model=model.name, kind="reported", text=text) for text in answer.warnings)
    for artifact in model.artifacts:
        file = offered(artifact, answer.candidates)
        size = None if file is None else lengths.get((file.url,))
        if isinstance(size, SynapseError):
            yield _failure(model, size)


def _failure(model: LockedModel, error: SynapseError) -> Drift:
    """The finding for a site's refusal, or for a site that could not be asked."""
    kind = "gone" if isinstance(error, NotFound) else "refused" if isinstance(error, AccessDenied) else "unknown"
    return Drift(model=model.name, kind=kind, text=error.message, hint=error.hint)

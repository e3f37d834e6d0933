"""Redistribution: which locked models are handed on to other machines only if their user names them. Pure.

A bundle and a push to a remote store hand bytes on. A local file has no site that offers it to everybody, and the
files of a gated repository are for the accounts that its authors let in: to pass on either is the user's decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from synapse_sync.core.lockfile import LockedModel

LOCAL, GATED = "a local file", "gated"


def reserved_because(model: LockedModel) -> str | None:
    """Why a model is handed on only by name: `LOCAL` or `GATED`; None if its site offers it to everybody."""
    if any(artifact.url.source == "path" for artifact in model.artifacts):
        return LOCAL
    return GATED if model.card.gated is not None else None


def withheld(
    models: Iterable[LockedModel], named: Collection[str] = (), *, everything: bool = False
) -> Mapping[str, str]:
    """The models that are not handed on, by name, each with the reason: `LOCAL` or `GATED`.

    `named` are the models that the user names, as the lockfile or the manifest calls them; `everything` names all.
    The gate of a model is unknown if an earlier version locked it: `synapse lock --upgrade-model` notes it.
    """
    if everything:
        return {}
    reasons = {model.name: reserved_because(model) for model in models if not {model.name, model.model} & {*named}}
    return {name: reason for name, reason in reasons.items() if reason is not None}

"""Redistribution: which locked models are handed on to other machines only if their user names them. Pure.

A bundle and a push to a remote store hand bytes on. A local file has no site that offers it to everybody, and the
files of a gated repository are for the accounts that its authors let in: to pass on either is the user's decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from synapse_sync.core.lockfile import LockedModel

LOCAL, GATED = "a file of this machine", "a gated or private repository"

_NONE: Mapping[str, str] = {}


def reserved_because(model: LockedModel) -> str | None:
    """Why a model is handed on only by name: `LOCAL` or `GATED`; None if its site offers it to everybody."""
    if any(artifact.url.source == "path" for artifact in model.artifacts):
        return LOCAL
    return GATED if model.card.gated is not None else None


def withheld(models: Iterable[LockedModel], *, closed: Mapping[str, str] = _NONE) -> Mapping[str, str]:
    """The models that are not handed on unless their user names them, by name, each with the reason.

    `closed` has further reasons by name: the answers of sites that were asked. Without one, the gate of a model is
    unknown if an earlier version locked it: `synapse lock --upgrade-model` notes it.
    """
    reasons = {model.name: reserved_because(model) or closed.get(model.name) for model in models}
    return {name: reason for name, reason in reasons.items() if reason is not None}

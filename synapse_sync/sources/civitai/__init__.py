"""Civitai: its API as typed values (`Client`), and the site as a source (`CivitaiSource`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.sources.civitai.source import CivitaiSource

__all__ = ["CivitaiSource", "Client"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: a sync with nothing to do imports the package and never needs the client.
    if name == "Client":
        from synapse_sync.sources.civitai.client import Client

        return Client
    if name == "CivitaiSource":
        from synapse_sync.sources.civitai.source import CivitaiSource

        return CivitaiSource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

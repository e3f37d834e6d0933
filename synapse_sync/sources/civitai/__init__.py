"""Civitai: its API as typed values (`Client`), and the site as a source (`CivitaiSource`).

with Client(token="…") as client:
    for model in client.models(query="portrait", types=["LORA"], limit=10):
        print(model.name, model.versions[0].base_model)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synapse_sync.net.api import Api
    from synapse_sync.sources.base import Means, Source
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.sources.civitai.hashes import file_hashes
    from synapse_sync.sources.civitai.image_urls import ImageIds, ImageUrl
    from synapse_sync.sources.civitai.paging import Listing
    from synapse_sync.sources.civitai.questions import ImageFilters, ModelFilters
    from synapse_sync.sources.civitai.schema import Creator, Model, ModelFile, ModelImage, ModelVersion
    from synapse_sync.sources.civitai.schema_lists import CursorMetadata, Image, Page, PageMetadata, Tag
    from synapse_sync.sources.civitai.source import CivitaiSource

__all__ = [
    "CivitaiSource",
    "Client",
    "Creator",
    "CursorMetadata",
    "Image",
    "ImageFilters",
    "ImageIds",
    "ImageUrl",
    "Listing",
    "Model",
    "ModelFile",
    "ModelFilters",
    "ModelImage",
    "ModelVersion",
    "Page",
    "PageMetadata",
    "Tag",
    "file_hashes",
]
_MODULES = {
    "CivitaiSource": "source", "Client": "client", "file_hashes": "hashes", "CursorMetadata": "schema_lists",
    "Image": "schema_lists", "ImageFilters": "questions", "ImageIds": "image_urls", "ImageUrl": "image_urls",
    "Listing": "paging", "ModelFilters": "questions", "Page": "schema_lists", "PageMetadata": "schema_lists",
    "Tag": "schema_lists",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # Loaded when asked for: a sync with nothing to do imports the package and never needs the client.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'schema')}"), name)


def make(means: Means) -> Source:
    """Make the source."""
    from synapse_sync.sources.civitai.source import CivitaiSource

    return CivitaiSource(means.api(), means.endpoints["civitai"][0])


def account(api: Api, endpoint: str) -> object:
    """Ask for the name of the account that the token of `api` belongs to."""
    from synapse_sync.sources.civitai.client import Client

    return Client(api, endpoint).me().username

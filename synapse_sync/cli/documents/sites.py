"""Documents of the commands that ask sites."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from synapse_sync.cli.documents.lock import LockedModel
from synapse_sync.cli.documents.shape import Error, Shape


class SearchDocument(Shape):
    """Results in the words of the sites. Each has at least number, site, reference, id, name, type and page."""

    query: str | None
    results: list[dict[str, Any]]
    metadata: dict[str, Any] | None
    added: list[LockedModel] | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
    errors: list[Error] | UnsetType = UNSET


class InfoDocument(Shape, forbid_unknown_fields=False):
    """Everything that a site says about a model; further keys are the site's own."""

    title: str | None
    page: str | None
    creator: str | None
    tags: list[str]
    chosen: str | None
    air: str | None
    needs_token: bool
    notes: list[str]
    versions: list[dict[str, Any]]


class InfoFileDocument(Shape, forbid_unknown_fields=False):
    """The facts about a local file of weights, by its header."""

    file: str
    size: int
    format: str | None
    kind: str
    type: str | None
    family: str | None
    base: list[str]
    precision: str | None


class InfoFilesDocument(Shape):
    """The facts about several local files, and an error for each that cannot be read."""

    files: list[InfoFileDocument]
    errors: list[Error]


class ImagesDocument(Shape):
    """Images of Civitai, with the settings that made them."""

    images: list[dict[str, Any]]
    metadata: dict[str, Any]


class CreatorsDocument(Shape):
    """Creators of Civitai."""

    creators: list[dict[str, Any]]
    metadata: dict[str, Any]


class TagsDocument(Shape):
    """Tags of Civitai."""

    tags: list[dict[str, Any]]
    metadata: dict[str, Any]

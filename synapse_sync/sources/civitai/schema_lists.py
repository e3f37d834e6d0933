"""Civitai's lists as values: images, tags, how a list goes on, and the answer to many hashes.

Read leniently, like `schema.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Generic, TypeVar

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.image_meta import ImageMeta
from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.schema import nsfw_flag, nsfw_level, read_meta

__all__ = ["CursorMetadata", "HashMatch", "Image", "Me", "Page", "PageMetadata", "Tag", "decode_matches"]

T = TypeVar("T", covariant=True)
M = TypeVar("M", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T, M]):
    """One page of a list: its items in the site's order, and its `CursorMetadata` or `PageMetadata`."""

    items: tuple[T, ...]
    metadata: M


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One of `/images`: `nsfw_level` is a word here (None, Soft, Mature, X), `browsing_level` the bitmask.

    `nsfw` is the site's own boolean. `hash` is its blurhash. `meta` are the settings that made it, which the site
    returns if it is asked `with_meta`. `version_ids` are versions that it belongs to or was made with.
    """

    id: int
    url: str
    type: str = "image"
    nsfw_level: str | None = None
    browsing_level: int = 0
    nsfw: bool | None = None
    width: int | None = None
    height: int | None = None
    hash: str | None = None
    created_at: str | None = None
    post_id: int | None = None
    username: str | None = None
    base_model: str | None = None
    version_ids: tuple[int, ...] = ()
    stats: Mapping[str, int] = field(default_factory=dict, hash=False)
    meta: ImageMeta | None = field(default=None, hash=False)

    @classmethod
    def decode(cls, raw: object, where: str = "image") -> Image:
        """Read one of the `items` of `/images`."""
        fields = raw if isinstance(raw, Fields) else Fields(raw, where)
        stats = fields.object("stats")
        ids = fields.value("modelVersionIds")
        return cls(
            id=fields.need_integer("id"),
            url=fields.need_text("url"),
            type=fields.text("type") or "image",
            nsfw_level=fields.text("nsfwLevel"),
            browsing_level=fields.integer("browsingLevel") or nsfw_level(fields),
            nsfw=nsfw_flag(fields),
            width=fields.integer("width"),
            height=fields.integer("height"),
            hash=fields.text("hash"),
            created_at=fields.text("createdAt"),
            post_id=fields.integer("postId"),
            username=fields.text("username"),
            base_model=fields.text("baseModel"),
            version_ids=tuple(n for n in ids if isinstance(n, int)) if isinstance(ids, list) else (),
            stats={name: count for name in stats.raw if (count := stats.integer(name)) is not None},
            meta=read_meta(fields),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag; `link` lists its models. The site has not returned `model_count` since 2024, and `type` by times."""

    name: str
    model_count: int | None = None
    link: str | None = None
    type: str | None = None

    @classmethod
    def decode(cls, fields: Fields) -> Tag:
        """Read one of the `items` of `/tags`."""
        return cls(
            name=fields.need_text("name"),
            model_count=fields.integer("modelCount"),
            link=fields.text("link"),
            type=fields.text("type"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMetadata:
    """The next page of a list with pages (creators and tags)."""

    total_items: int | None = None
    current_page: int | None = None
    page_size: int | None = None
    total_pages: int | None = None
    next_page: str | None = None
    prev_page: str | None = None

    @classmethod
    def decode(cls, fields: Fields) -> PageMetadata:
        """Read `metadata`."""
        return cls(
            total_items=fields.integer("totalItems"),
            current_page=fields.integer("currentPage"),
            page_size=fields.integer("pageSize"),
            total_pages=fields.integer("totalPages"),
            next_page=fields.text("nextPage"),
            prev_page=fields.text("prevPage"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorMetadata:
    """The next part of a list of models or images; at its end, `next_cursor` is None.

    The cursor is opaque: a number in early answers, several numbers in a string today. The totals and `prev_page`
    are those of answers of 2023; the site counts these lists no more.
    """

    next_cursor: str | None = None
    next_page: str | None = None
    current_page: int | None = None
    page_size: int | None = None
    total_items: int | None = None
    total_pages: int | None = None
    prev_page: str | None = None

    @classmethod
    def decode(cls, fields: Fields) -> CursorMetadata:
        """Read `metadata`."""
        return cls(
            next_cursor=fields.text("nextCursor"),
            next_page=fields.text("nextPage"),
            current_page=fields.integer("currentPage"),
            page_size=fields.integer("pageSize"),
            total_items=fields.integer("totalItems"),
            total_pages=fields.integer("totalPages"),
            prev_page=fields.text("prevPage"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HashMatch:
    """One row of the answer to many hashes: the version that has the file."""

    sha256: str
    version_id: int
    model_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The account of a token."""

    id: int | None = None
    username: str | None = None


def decode_matches(raw: object) -> tuple[HashMatch, ...]:
    """Read the answer of `by-hash/ids`; rows without a hash or a version are skipped."""
    rows: Sequence[object] = raw if isinstance(raw, list) else []
    matches = []
    for row in rows:
        fields = Fields(row if isinstance(row, Mapping) else {}, "match")
        version_id, sha256 = fields.integer("modelVersionId"), fields.text("hash")
        if version_id is not None and sha256:
            model_id = fields.integer("modelId")
            matches.append(HashMatch(sha256=sha256.lower(), version_id=version_id, model_id=model_id))
    return tuple(matches)

"""The questions that Civitai's lists answer: their filters, and where a page begins.

The names are those of `GET /models` and `GET /images` in the site's source (`modelsEndpointSchema`), as of 2026-08.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from synapse_sync.errors import InputError

Params = list[tuple[str, str]]
#: The most items on a page of each list.
MODELS, IMAGES, NAMES = 100, 200, 200
#: A list has no pages beyond this item; a cursor continues from there.
PAGED = 1000
_CURSORS_HINT = "continue with the `next_cursor` of an answer: `--cursor`, or `cursor=` in Python"


class ListFilters(TypedDict, total=False):
    """The filters of models besides a search; one that is missing or None is not sent.

    `ids` and `version_ids` are numbers. `types`, `base_models`, `sort`, `period`,
    `period_mode`, `checkpoint_type`, `file_formats` and `availability` are in the site's words (`filters.py` has
    them). `nsfw`: True also lists models without an image for all ages; False and None leave them out.
    `favorites` and `hidden` are those of the account of the token. `primary_file_only` leaves out the other files
    of a version. `allow_…` are the permissions of the author, as `Model` has them. `rating` is a number of stars,
    which the site accepts and ignores. `supports_generation`, `early_access`, `from_platform` and `archived` list
    only such models; False is the same as None.
    """

    ids: Sequence[int]
    version_ids: Sequence[int]
    types: str | Sequence[str]
    base_models: str | Sequence[str]
    checkpoint_type: str | None
    sort: str | None
    period: str | None
    period_mode: str | None
    username: str | None
    tag: str | None
    nsfw: bool | None
    favorites: bool | None
    hidden: bool | None
    primary_file_only: bool | None
    allow_no_credit: bool | None
    allow_derivatives: bool | None
    allow_different_licenses: bool | None
    allow_commercial_use: str | Sequence[str] | None
    rating: int | None
    supports_generation: bool | None
    early_access: bool | None
    from_platform: bool | None
    archived: bool | None
    availability: str | None
    file_formats: str | Sequence[str]


class ModelFilters(ListFilters, total=False):
    """The filters of models, with `query`, which is text in the name."""

    query: str | None


class PostedFilters(TypedDict, total=False):
    """The filters of images besides their model; one that is missing or None is not sent.

    `nsfw` is the highest level in words (None, Soft, Mature, X) or a boolean, `browsing_level` a bitmask. `type` is
    image, video or audio. With `with_meta` the images have the settings that made them.
    """

    image_id: int | None
    post_id: int | None
    user_id: int | None
    username: str | None
    nsfw: str | bool | None
    browsing_level: int | None
    tags: Sequence[int]
    type: str | None
    base_models: str | Sequence[str]
    sort: str | None
    period: str | None
    with_meta: bool | None


class ImageFilters(PostedFilters, total=False):
    """The filters of images, with the number of their model or version."""

    model_id: int | None
    version_id: int | None


_MODELS = {
    "query": "query", "ids": "ids", "version_ids": "modelVersionIds", "types": "types", "base_models": "baseModels",
    "checkpoint_type": "checkpointType", "sort": "sort", "period": "period", "period_mode": "periodMode",
    "username": "username", "tag": "tag", "nsfw": "nsfw", "favorites": "favorites", "hidden": "hidden",
    "primary_file_only": "primaryFileOnly", "allow_no_credit": "allowNoCredit",
    "allow_derivatives": "allowDerivatives", "allow_different_licenses": "allowDifferentLicenses",
    "allow_commercial_use": "allowCommercialUse", "rating": "rating", "supports_generation": "supportsGeneration",
    "early_access": "earlyAccess", "from_platform": "fromPlatform", "archived": "archived",
    "availability": "availability", "file_formats": "fileFormats",
}  # fmt: skip
_IMAGES = {
    "image_id": "imageId", "model_id": "modelId", "version_id": "modelVersionId", "post_id": "postId",
    "user_id": "userId", "username": "username", "nsfw": "nsfw", "browsing_level": "browsingLevel", "tags": "tags",
    "type": "type", "base_models": "baseModels", "sort": "sort", "period": "period", "with_meta": "withMeta",
}  # fmt: skip
#: Flags that the site reads as true whatever their text, or refuses without a token: false is sent as nothing.
_TRUE_ALONE = frozenset({"favorites", "hidden", "supports_generation", "early_access", "from_platform", "archived"})
#: Numbers that the site reads from one text, with commas.
_JOINED = frozenset({"ids", "version_ids", "tags"})


def model_params(filters: Mapping[str, Any]) -> Params:
    """Return the query of `GET /models`; raises `TypeError` for a filter that it does not have."""
    return _params("models", _MODELS, filters)


def image_params(filters: Mapping[str, Any]) -> Params:
    """Return the query of `GET /images`; raises `TypeError` for a filter that it does not have."""
    return _params("images", _IMAGES, filters)


def _params(what: str, names: Mapping[str, str], filters: Mapping[str, Any]) -> Params:
    if unknown := sorted(filters.keys() - names.keys()):
        raise TypeError(f"{what} have no filter `{unknown[0]}`; there are {', '.join(names)}")
    found: Params = []
    for name, value in filters.items():
        if value is None or (value is False and name in _TRUE_ALONE):
            continue
        values = [value] if isinstance(value, str | int) else list(value)
        if values and name in _JOINED:
            values = [",".join(map(str, values))]
        found += [(names[name], _text(each)) for each in values]
    return found


def _text(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def beginning(page: int | None, cursor: str | None, size: int, most: int, *, searched: bool = False) -> Params:
    """Return the parameters of one page of `size` items; `most` is the largest page, `searched` a list by `query`.

    Raises `InputError` where the site would refuse it: a page of a search, or one beyond the thousandth item.
    """
    if not 0 <= size <= most:
        raise InputError(
            f"a page of this list has at most {most} items, not {size}", hint="ask for fewer at a time"
        )
    if page is None:
        return [("limit", str(size)), *([] if cursor is None else [("cursor", cursor)])]
    if cursor is not None:
        raise InputError("`page` and `cursor` name two places in the list", hint="leave one of them out")
    if searched:
        raise InputError(
            "Cannot use page param with query search. Use cursor-based pagination.", hint=_CURSORS_HINT
        )
    if page < 1:
        raise InputError(f"page {page} does not exist", hint="the first page is 1")
    if page * size > PAGED:
        raise InputError("You've requested too many pages, please use cursors instead", hint=_CURSORS_HINT)
    return [("limit", str(size)), ("page", str(page))]


def page_size(limit: int | None, most: int) -> int:
    """Return a size for the pages of a list that ends at `limit` items: equal pages, so that none is cut."""
    if limit is None:
        return most
    pages = max(1, -(-limit // most))
    return max(1, -(-limit // pages))

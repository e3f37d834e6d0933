"""Civitai's REST API: one method per endpoint, typed answers, and bulk requests wherever the site has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar, Unpack
from urllib.parse import quote

from synapse_sync.core.instant import parse_instant
from synapse_sync.errors import NetworkError, NotFound, StatusError, SynapseError
from synapse_sync.net.api import Api
from synapse_sync.net.at_once import at_once
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.sites import named
from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.image_urls import numbered
from synapse_sync.sources.civitai.paging import Listing, Lists
from synapse_sync.sources.civitai.questions import (
    IMAGES,
    MODELS,
    NAMES,
    ImageFilters,
    ModelFilters,
    Params,
    beginning,
    image_params,
    model_params,
    page_size,
)
from synapse_sync.sources.civitai.schema import Creator, Model, ModelImage, ModelVersion
from synapse_sync.sources.civitai.schema_lists import (
    CursorMetadata,
    HashMatch,
    Image,
    Me,
    Page,
    PageMetadata,
    Tag,
    decode_matches,
)

ENDPOINT = named("civitai").endpoints[0][1]
BATCH = 100
#: Requests to the site at the same time.
AT_ONCE = 4
HASH_BATCH = 10_000
_T = TypeVar("_T")
#: Stands for a model that a list leaves out.
_MISSING = NotFound("not in the list")
_M = TypeVar("_M")


class Client:
    """The API at one endpoint. Failures are `StatusError`s; nothing is cached between calls.

    Without `api` it makes its own client, which sends `token` to this endpoint only, and nothing if `offline`.
    """

    def __init__(
        self, api: Api | None = None, endpoint: str = ENDPOINT, *, token: str | None = None, offline: bool = False
    ) -> None:
        self.endpoint: str = endpoint.rstrip("/")
        grants = [Grant(self.endpoint, Secret(token), "/api/")] if token else []
        self.api: Api = Api(Credentials(grants), offline=offline) if api is None else api
        self._lists = Lists(self.api, self.endpoint)

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        self.api.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- one thing ---------------------------------------------------------------------------------

    def model(self, model_id: int) -> Model:
        """Return one model with all its published versions."""
        return Model.decode(self.api.get_json(self._url(f"models/{model_id}")))

    def model_version(self, version_id: int) -> ModelVersion:
        """Return one version: the only answer that has `air` and `usage_control`."""
        return ModelVersion.decode(self.api.get_json(self._url(f"model-versions/{version_id}")))

    def version_words(self, version_id: int) -> Mapping[str, Any]:
        """Return the answer about one version as it is, for readers of the site's own format."""
        return Fields(self.api.get_json(self._url(f"model-versions/{version_id}")), "version").raw

    def model_words(self, model_id: int) -> Mapping[str, Any]:
        """Return the answer about one model as it is, for readers of the site's own format."""
        return Fields(self.api.get_json(self._url(f"models/{model_id}")), "model").raw

    def previews(self, version: ModelVersion) -> tuple[ModelImage, ...]:
        """Return a version's previews with the ids of their full images; costs a request unless all have an id."""
        if all(preview.id is not None for preview in version.images):
            return numbered(version.images, ())
        return numbered(version.images, self.images(version_id=version.id, nsfw="X", limit=IMAGES))

    def version_mini(self, version_id: int) -> ModelVersion:
        """Return one version with its primary file only: the only answer that has `require_auth`."""
        return ModelVersion.decode_mini(
            self.api.get_json(self._url(f"model-versions/mini/{version_id}")), version_id
        )

    def by_hash(self, value: str) -> ModelVersion:
        """Return the version that has a file with this hash, of any algorithm that the site knows."""
        return ModelVersion.decode(self.api.get_json(self._url(f"model-versions/by-hash/{quote(value, safe='')}")))

    def image(self, image_id: int) -> Image:
        """Return one image with the settings that made it; raises `NotFound`. `IMAGES/ID` is its page."""
        params = image_params({"image_id": image_id, "nsfw": "X", "with_meta": True})
        # The site may answer with other images, too.
        for item in self._lists.ask("images", [*params, ("limit", "10")]).need_objects("items"):
            if item.integer("id") == image_id:
                return Image.decode(item)
        raise NotFound(
            f"Civitai has no image {image_id}",
            hint="it was deleted, or its owner hides it; the number is at the end of the address of its page",
        )

    def me(self) -> Me:
        """Return the account of the token; only here a missing or wrong token is a `StatusError` with 401."""
        fields = Fields(self.api.get_json(self._url("me")), "me")
        return Me(id=fields.integer("id"), username=fields.text("username"))

    def enums(self) -> Mapping[str, tuple[str, ...]]:
        """Return the words that the site uses today, by the name of their set; it may add words at any time."""
        fields = Fields(self.api.get_json(self._url("enums")), "enums")
        return {name: fields.words(name) for name in fields.raw}

    # -- many things -------------------------------------------------------------------------------

    def models_by_ids(self, ids: Iterable[int]) -> dict[int, Model | SynapseError]:
        """Return many models by id, 100 per request; those missing from the list cost a request each.

        A failure is a value.
        """
        found: dict[int, Model | SynapseError] = {}
        for answered in at_once(self._listed, [*_batches(sorted(set(ids)), BATCH)], AT_ONCE):
            found |= answered
        # A list may lag behind, and miss a model or all its versions; the model's own answer may have them.
        doubtful = [
            model_id
            for model_id, model in found.items()
            if model is _MISSING or (isinstance(model, Model) and not (model.versions or model.mode))
        ]
        for model_id, alone in zip(doubtful, at_once(self._single, doubtful, AT_ONCE), strict=True):
            if found[model_id] is _MISSING or not isinstance(alone, SynapseError):
                found[model_id] = alone
        return found

    def _listed(self, batch: Sequence[int]) -> dict[int, Model | SynapseError]:
        """Return the models of one list by id; a failure is a value, and so is `_MISSING`."""
        try:
            answered = {model.id: model for model in self._list("ids", batch)}
        except SynapseError as error:
            return dict.fromkeys(batch, error)
        return {model_id: answered.get(model_id, _MISSING) for model_id in batch}

    def models_by_version_ids(self, ids: Iterable[int]) -> dict[int, Model]:
        """Return the models of these versions by version id, 100 per request; unknown versions are left out."""
        wanted = sorted(set(ids))
        lists = at_once(lambda batch: [*self._list("modelVersionIds", batch)], [*_batches(wanted, BATCH)], AT_ONCE)
        known = set(wanted)
        return {
            version.id: model
            for models in lists
            for model in models
            for version in model.versions
            if version.id in known
        }

    def by_hashes(self, sha256s: Iterable[str]) -> dict[str, ModelVersion]:
        """Return whole versions by the SHA-256 of one of their files, 100 per request; unknown ones are left out.

        If several versions share a file, the oldest is returned, as `by_hash` does.
        """
        found: dict[str, ModelVersion] = {}
        wanted = {value.lower() for value in sha256s}
        for row in self._rows_by_hash(wanted):
            version = self._repaired(ModelVersion.decode(row))
            for value in {file.hashes.sha256 for file in version.files} & wanted:
                if value is not None and (value not in found or _age(version) < _age(found[value])):
                    found[value] = version
        return found

    def usages(self, sha256s: Iterable[str]) -> dict[int, str]:
        """Return the `usage_control` of all versions with these SHA-256s by their ids, 100 per request."""
        rows = [Fields(row, "version") for row in self._rows_by_hash({value.lower() for value in sha256s})]
        said = ((row.integer("id"), row.text("usageControl")) for row in rows)
        return {number: usage for number, usage in said if number is not None and usage is not None}

    def _rows_by_hash(self, sha256s: set[str]) -> Iterator[Mapping[str, Any]]:
        """Yield what the site knows of these SHA-256s: in no order, with repetitions; nulls are left out."""
        bodies = [[value.upper() for value in batch] for batch in _batches(sorted(sha256s), BATCH)]
        url = self._url("model-versions/by-hash")
        for answer in at_once(lambda body: self.api.post_json(url, body), bodies, AT_ONCE):
            yield from (row for row in (answer if isinstance(answer, list) else []) if isinstance(row, Mapping))

    def by_hashes_ids(self, sha256s: Iterable[str]) -> dict[str, HashMatch]:
        """Return the versions with these SHA-256s, 10,000 per request; unknown ones are left out.

        If several versions share a file, the lowest id is returned, which is that of the oldest.
        """
        found: dict[str, HashMatch] = {}
        for batch in _batches(sorted({value.lower() for value in sha256s}), HASH_BATCH):
            body = [value.upper() for value in batch]
            for match in decode_matches(self.api.post_json(self._url("model-versions/by-hash/ids"), body)):
                known = found.get(match.sha256)
                if known is None or match.version_id < known.version_id:
                    found[match.sha256] = match
        return found

    # -- lists: iterators that ask for the next page when it is needed -------------------------------

    def models(
        self, *, limit: int | None = None, **filters: Unpack[ModelFilters]
    ) -> Listing[Model, CursorMetadata]:
        """Iterate over the models that fit, at most `limit` (None: all of them).

        `filters` are those of `ModelFilters`: `query`, `types`, `sort`, `nsfw` … Each model appears once.
        The pages are read by number as far as the site has numbers, then by cursor; a search by cursor alone.
        Raises `TypeError` for an unknown filter, and `StatusError` at the item where a request fails.
        """
        params = model_params(filters)
        pages = self._lists.by_cursor("models", params, page_size(limit, MODELS), paged=not filters.get("query"))
        return Listing(pages, Model.decode, limit)

    def images(
        self, *, limit: int | None = None, **filters: Unpack[ImageFilters]
    ) -> Listing[Image, CursorMetadata]:
        """Iterate over the images that fit, at most `limit` (None: all of them); each address appears once.

        `filters` are those of `ImageFilters`: `model_id`, `nsfw`, `sort` … Their settings are missing without
        `with_meta`. Raises `TypeError` for an unknown filter, and `StatusError` at the item where a request fails.
        """
        pages = self._lists.by_cursor("images", image_params(filters), page_size(limit, IMAGES), paged=True)
        return Listing(pages, Image.decode, limit)

    def creators(self, *, query: str | None = None, limit: int | None = None) -> Listing[Creator, PageMetadata]:
        """Iterate over the creators whose names contain the query, at most `limit` (0 and None: all of them)."""
        pages = self._lists.by_number("creators", "username", _query(query), page_size(limit or None, NAMES))
        return Listing(pages, Creator.decode, limit or None)

    def tags(self, *, query: str | None = None, limit: int | None = None) -> Listing[Tag, PageMetadata]:
        """Iterate over the tags whose names contain the query, at most `limit` (0 and None: all of them)."""
        pages = self._lists.by_number("tags", "name", _query(query), page_size(limit or None, NAMES))
        return Listing(pages, Tag.decode, limit or None)

    # -- lists: one page, with the site's metadata ---------------------------------------------------

    def models_page(
        self,
        *,
        page: int | None = None,
        cursor: str | None = None,
        limit: int = MODELS,
        **filters: Unpack[ModelFilters],
    ) -> Page[Model, CursorMetadata]:
        """Return one page of models: the first, that of the number `page`, or the one where `cursor` begins.

        `limit` is 0 to 100 models; `filters` are those of `ModelFilters`. The `metadata` of the answer has the
        `next_cursor`, None at the end. Raises `InputError` for a `page` of a search by `query`, or one beyond the
        thousandth model, for which the site has cursors only; and `StatusError` for a refused question.
        """
        where = beginning(page, cursor, limit, MODELS, searched=bool(filters.get("query")))
        return self._page("models", model_params(filters) + where, Model.decode, CursorMetadata.decode)

    def images_page(
        self,
        *,
        page: int | None = None,
        cursor: str | None = None,
        limit: int = IMAGES,
        **filters: Unpack[ImageFilters],
    ) -> Page[Image, CursorMetadata]:
        """Return one page of images: the first, that of the number `page`, or the one where `cursor` begins.

        `limit` is 0 to 200 images; `filters` are those of `ImageFilters`. Raises as `models_page` does.
        """
        where = beginning(page, cursor, limit, IMAGES)
        return self._page("images", image_params(filters) + where, Image.decode, CursorMetadata.decode)

    def creators_page(
        self, *, query: str | None = None, page: int = 1, limit: int = 20
    ) -> Page[Creator, PageMetadata]:
        """Return one page of creators whose names contain the query; its `metadata` has the totals.

        `limit` is 1 to 200 creators; with 0, this one page has all of them, in as many requests as they need.
        Raises `InputError` for another limit or page, and `StatusError` for a refused question.
        """
        if limit == 0:
            return _whole(self.creators(query=query))
        where = beginning(page, None, limit, NAMES)
        return self._page("creators", _query(query) + where, Creator.decode, PageMetadata.decode)

    def tags_page(self, *, query: str | None = None, page: int = 1, limit: int = 20) -> Page[Tag, PageMetadata]:
        """Return one page of tags whose names contain the query; arguments and errors as in `creators_page`."""
        if limit == 0:
            return _whole(self.tags(query=query))
        where = beginning(page, None, limit, NAMES)
        return self._page("tags", _query(query) + where, Tag.decode, PageMetadata.decode)

    # -- how it is asked ---------------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return f"{self.endpoint}/api/v1/{path}"

    def _page(
        self, path: str, params: Params, item: Callable[[Fields], _T], metadata: Callable[[Fields], _M]
    ) -> Page[_T, _M]:
        answer = self._lists.ask(path, params)
        items = tuple(map(item, answer.need_objects("items")))
        return Page(items=items, metadata=metadata(answer.object("metadata")))

    def _list(self, key: str, ids: Sequence[int]) -> Iterator[Model]:
        # Without nsfw=true the site leaves out, silently, every model that has no all-ages image.
        params = [(key, ",".join(map(str, ids))), ("nsfw", "true"), ("limit", str(BATCH))]
        for item in self._lists.ask("models", params).need_objects("items"):
            try:
                yield Model.decode(item)
            except NetworkError:
                continue  # an unreadable item must not spoil the others; its own answer shows the reason

    def _single(self, model_id: int) -> Model | SynapseError:
        try:
            return self.model(model_id)
        except StatusError as error:
            if error.status == 404:
                return NotFound(
                    f"Civitai has no model {model_id}",
                    hint="it was deleted, unpublished or never there; a version of it may still be found by its id",
                )
            return error
        except NetworkError as error:
            return error

    def _repaired(self, version: ModelVersion) -> ModelVersion:
        """Return a version whose URLs name the host `undefined` with the site's own host in its place."""

        def repair(url: str | None) -> str | None:
            return None if url is None else url.replace("https://undefined/", f"{self.endpoint}/", 1)

        files = tuple(replace(file, download_url=repair(file.download_url)) for file in version.files)
        return replace(version, files=files, download_url=repair(version.download_url))


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _query(query: str | None) -> Params:
    return [] if query is None else [("query", query)]


def _whole(listing: Listing[_T, PageMetadata]) -> Page[_T, PageMetadata]:
    """Return a whole list as one page."""
    items = tuple(listing)
    count = len(items)
    return Page(
        items=items,
        metadata=PageMetadata(total_items=count, current_page=1, page_size=count, total_pages=1 if count else 0),
    )


def _age(version: ModelVersion) -> tuple[datetime, int]:
    return parse_instant(version.published_at) or datetime.max.replace(tzinfo=UTC), version.id

"""Civitai's REST API: one method per endpoint, typed answers, and bulk requests wherever the site has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from synapse_sync.core.instant import parse_instant
from synapse_sync.errors import NetworkError, NotFound, StatusError, SynapseError
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.sites import named
from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.image_urls import numbered
from synapse_sync.sources.civitai.schema import Creator, Model, ModelImage, ModelVersion
from synapse_sync.sources.civitai.schema_lists import (
    CursorMetadata,
    HashMatch,
    Image,
    Me,
    PageMetadata,
    Tag,
    decode_matches,
)

ENDPOINT = named("civitai").endpoints[0][1]
BATCH = 100
HASH_BATCH = 10_000
#: The most items that one request returns.
_MODELS, _IMAGES, _NAMES = 100, 200, 200
#: A list has no pages beyond this item; a cursor continues from there.
_PAGED = 1000
#: After that many pages in a row without a new item, the list counts as ended, even if it names a next page.
_BARREN = 5
_T = TypeVar("_T")
_Params = list[tuple[str, str]]


class Client:
    """The API at one endpoint. Failures are `StatusError`s; nothing is cached between calls.

    Without `api` it makes its own client, which sends `token` to this endpoint only, and nothing if `offline`.
    """

    def __init__(
        self, api: Api | None = None, endpoint: str = ENDPOINT, *, token: str | None = None, offline: bool = False
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        grants = [Grant(self.endpoint, Secret(token), "/api/")] if token else []
        self.api = Api(Credentials(grants), offline=offline) if api is None else api

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

    def previews(self, version: ModelVersion) -> tuple[ModelImage, ...]:
        """Return a version's previews with the ids of their full images; costs a request unless all have an id."""
        if all(preview.id is not None for preview in version.images):
            return numbered(version.images, ())
        return numbered(version.images, self.images(version_id=version.id, nsfw="X", limit=_IMAGES))

    def version_mini(self, version_id: int) -> ModelVersion:
        """Return one version with its primary file only: the only answer that has `require_auth`."""
        return ModelVersion.decode_mini(
            self.api.get_json(self._url(f"model-versions/mini/{version_id}")), version_id
        )

    def by_hash(self, value: str) -> ModelVersion:
        """Return the version that has a file with this hash, of any algorithm that the site knows."""
        return ModelVersion.decode(self.api.get_json(self._url(f"model-versions/by-hash/{quote(value, safe='')}")))

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
        for batch in _batches(sorted(set(ids)), BATCH):
            try:
                answered = {model.id: model for model in self._list("ids", batch)}
            except SynapseError as error:
                found.update(dict.fromkeys(batch, error))
                continue
            for model_id in batch:
                model = answered.get(model_id)
                # A list may lag behind, and miss a model or all its versions; the model's own answer may have them.
                alone = self._single(model_id) if model is None or not (model.versions or model.mode) else model
                found[model_id] = model if model is not None and isinstance(alone, SynapseError) else alone
        return found

    def models_by_version_ids(self, ids: Iterable[int]) -> dict[int, Model]:
        """Return the models of these versions by version id, 100 per request; unknown versions are left out."""
        found: dict[int, Model] = {}
        for batch in _batches(sorted(set(ids)), BATCH):
            for model in self._list("modelVersionIds", batch):
                found.update((version.id, model) for version in model.versions if version.id in batch)
        return found

    def by_hashes(self, sha256s: Iterable[str]) -> dict[str, ModelVersion]:
        """Return whole versions by the SHA-256 of one of their files, 100 per request; unknown ones are left out.

        If several versions share a file, the oldest is returned, as `by_hash` does.
        """
        found: dict[str, ModelVersion] = {}
        for batch in _batches(sorted({value.lower() for value in sha256s}), BATCH):
            body = [value.upper() for value in batch]
            wanted = set(batch)
            answer = self.api.post_json(self._url("model-versions/by-hash"), body)
            # The rows are in no order, with nulls and repetitions: only their files show which hash they answer.
            for row in answer if isinstance(answer, list) else []:
                if not isinstance(row, Mapping):
                    continue
                version = self._repaired(ModelVersion.decode(row))
                for value in {file.hashes.sha256 for file in version.files} & wanted:
                    if value is not None and (value not in found or _age(version) < _age(found[value])):
                        found[value] = version
        return found

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
        self,
        *,
        query: str | None = None,
        types: Sequence[str] = (),
        sort: str | None = None,
        period: str | None = None,
        base_models: Sequence[str] = (),
        username: str | None = None,
        tag: str | None = None,
        nsfw: bool | None = None,
        limit: int | None = None,
    ) -> Iterator[Model]:
        """Yield at most `limit` models that fit. Without `nsfw`, those that are not for all ages are missing."""
        params = _params(query=query, sort=sort, period=period, username=username, tag=tag, nsfw=nsfw)
        params += [("types", word) for word in types]
        params += [("baseModels", word) for word in base_models]
        found = self._cursor("models", params, _size(limit, _MODELS), paged=query is None)
        return _first(limit, map(Model.decode, found))

    def images(
        self,
        *,
        model_id: int | None = None,
        version_id: int | None = None,
        post_id: int | None = None,
        username: str | None = None,
        nsfw: str | bool | None = None,
        sort: str | None = None,
        period: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Image]:
        """Yield at most `limit` images that fit. `nsfw` is the highest level (None, Soft, …) or a bool."""
        params = _params(
            modelId=model_id,
            modelVersionId=version_id,
            postId=post_id,
            username=username,
            nsfw=nsfw,
            sort=sort,
            period=period,
        )
        found = self._cursor("images", params, _size(limit, _IMAGES), paged=True)
        return _first(limit, map(Image.decode, found))

    def creators(self, *, query: str | None = None, limit: int | None = None) -> Iterator[Creator]:
        """Yield the creators whose names contain the query."""
        found = self._pages("creators", "username", _params(query=query), _size(limit, _NAMES))
        return _first(limit, map(Creator.decode, found))

    def tags(self, *, query: str | None = None, limit: int | None = None) -> Iterator[Tag]:
        """Yield the tags whose names contain the query."""
        found = self._pages("tags", "name", _params(query=query), _size(limit, _NAMES))
        return _first(limit, map(Tag.decode, found))

    # -- how it is asked ---------------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return f"{self.endpoint}/api/v1/{path}"

    def _page(self, path: str, params: _Params, size: int) -> Fields:
        return Fields(self.api.get_json(self._url(path), [*params, ("limit", str(size))]), path)

    def _cursor(self, path: str, params: _Params, size: int, *, paged: bool) -> Iterator[Fields]:
        """Yield a list that continues by cursor; as far as pages go, it is read by page if `paged` allows that."""
        page, cursor = 1, None
        cursors: set[str] = set()
        fresh = _Fresh("id")
        while not fresh.is_barren:
            by_page = paged and page * size <= _PAGED
            where = [("page", str(page))] if by_page else [] if cursor is None else [("cursor", cursor)]
            answer = self._page(path, params + where, size)
            yield from fresh.among(answer.need_objects("items"))
            metadata = CursorMetadata.decode(answer.object("metadata"))
            cursor = metadata.next_cursor or self._cursor_in(metadata.next_page)
            page += 1
            if cursor is None:
                # Answers of 2023 continued with a page, and had no cursor.
                if not (by_page and page * size <= _PAGED and self._is_ours(metadata.next_page)):
                    return
            elif cursor in cursors:
                return
            else:
                cursors.add(cursor)

    def _pages(self, path: str, key: str, params: _Params, size: int) -> Iterator[Fields]:
        """Yield a list that has pages only."""
        page, more = 0, True
        fresh = _Fresh(key)
        while more and not fresh.is_barren:
            page += 1
            answer = self._page(path, [*params, ("page", str(page))], size)
            items = answer.need_objects("items")
            yield from fresh.among(items)
            metadata = PageMetadata.decode(answer.object("metadata"))
            total = metadata.total_pages
            more = bool(items) and (self._is_ours(metadata.next_page) if total is None else page < total)

    def _is_ours(self, url: str | None) -> bool:
        """Whether a next page is on the host that was asked; a link to any other host is not followed."""
        try:
            return url is not None and urlsplit(url).netloc.lower() == urlsplit(self.endpoint).netloc.lower()
        except ValueError:
            return False

    def _cursor_in(self, url: str | None) -> str | None:
        if url is None or not self._is_ours(url):
            return None
        return dict(parse_qsl(urlsplit(url).query)).get("cursor")

    def _list(self, key: str, ids: Sequence[int]) -> Iterator[Model]:
        # Without nsfw=true the site leaves out, silently, every model that has no all-ages image.
        params = [(key, ",".join(map(str, ids))), ("nsfw", "true")]
        for item in self._page("models", params, BATCH).need_objects("items"):
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


class _Fresh:
    """A filter that passes each item of a list once.

    Race: an item that is published between two requests moves others onto the next page.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._seen: set[str] = set()
        self._barren = 0

    @property
    def is_barren(self) -> bool:
        """Whether the last pages had nothing new, so that the list may be endless."""
        return self._barren >= _BARREN

    def among(self, items: Iterable[Fields]) -> Iterator[Fields]:
        """Return the items of a page that were on no page before; an item without an id passes, to be reported."""
        known = len(self._seen)
        for item in items:
            identity = item.text(self._key)
            if identity is None or identity not in self._seen:
                self._seen.add(identity or "")
                yield item
        self._barren = 0 if len(self._seen) > known else self._barren + 1


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _params(**values: str | int | bool | None) -> _Params:
    """Return the parameters that are not None: the site reads any text, also `false`, as true in some flags."""
    texts = {True: "true", False: "false"}
    return [
        (name, texts[value] if isinstance(value, bool) else str(value))
        for name, value in values.items()
        if value is not None
    ]


def _size(limit: int | None, most: int) -> int:
    return most if limit is None else max(1, min(limit, most))


def _first(limit: int | None, items: Iterator[_T]) -> Iterator[_T]:
    return islice(items, None if limit is None else max(0, limit))


def _age(version: ModelVersion) -> tuple[datetime, int]:
    return parse_instant(version.published_at) or datetime.max.replace(tzinfo=UTC), version.id

"""`CivitaiClient` of the Python API: Civitai's API as typed values, with the errors of synapse."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Unpack

from synapse_sync.connections import Connections
from synapse_sync.core.civitai_forms import image_id
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, InvalidReference, NotFound, StatusError, SynapseError
from synapse_sync.sources.civitai.client import ENDPOINT, Client
from synapse_sync.sources.civitai.crawl import Progress, Relation, Thing, crawl
from synapse_sync.sources.civitai.questions import ListFilters, ModelFilters, PostedFilters
from synapse_sync.sources.civitai.statuses import explain, no_version
from synapse_sync.user.places import home_directory
from synapse_sync.user.settings import load_settings

if TYPE_CHECKING:
    from synapse_sync.sources.civitai.schema import Creator, Model, ModelImage, ModelVersion
    from synapse_sync.sources.civitai.schema_lists import CursorMetadata, Image, Me, Page, PageMetadata, Tag

#: An id as a number or a text, a reference (`civitai:4384@128713`), or the address of a page.
Id: TypeAlias = int | str | Reference
_T = TypeVar("_T")
#: The statuses with which the site refuses the filters of a list.
_REFUSED_FILTERS = (400, 404, 422)


class CivitaiClient:
    """Civitai's REST API: one method for each kind of question. Nothing is kept between calls.

    Use it as a context manager, or call `close` at the end. It may be shared by threads. Every failure is a
    `SynapseError`: `NotFound`, `AccessDenied`, or a `NetworkError` after some patience.
    """

    def __init__(self, token: str | None = None, *, endpoint: str = ENDPOINT, offline: bool = False) -> None:
        """Make a client. No request is made before the first question.

        Parameters: `token` is an API key, which is sent to `endpoint` only; most questions need none. `endpoint` is
        the beginning of the site's address. With `offline`, every question raises `Offline`.
        """
        self._client = Client(endpoint=endpoint, token=token, offline=offline)
        self._close: Callable[[], None] = self._client.close

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, offline: bool = False) -> CivitaiClient:
        """Make a client with the user's settings and tokens, as the command has them.

        Parameters: `environ` are the variables, those of the process by default: `CIVITAI_API_KEY`,
        `CIVITAI_API_KEY_FILE`, `CIVITAI_ENDPOINT`, `SYNAPSE_CONFIG` … The settings' file, the kept tokens, proxies
        and certificates count as well.

        Raises `InputError` for a setting that cannot be used.
        """
        settings = load_settings(os.environ if environ is None else environ, home_directory())
        connections = Connections(settings, offline=offline or settings.offline, note=lambda text: None)
        made = cls.__new__(cls)
        made._client = connections.civitai
        made._close = connections.close
        return made

    def close(self) -> None:
        """Close the connections; a later question opens new ones."""
        self._close()

    def __enter__(self) -> CivitaiClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"CivitaiClient({self._client.endpoint!r})"

    # -- one thing ---------------------------------------------------------------------------------

    def model(self, model: Id) -> Model:
        """Return a model with all its published versions.

        Parameters: `model` is its id (`4384`, `"4384"`), a reference (`"civitai:4384"`) or its page. A reference
        that names a version only means the model of that version.

        Raises `NotFound`, `AccessDenied`, `NetworkError`, and `InvalidReference` for something else.
        """
        number = self._model_number(model)
        missing = NotFound(f"Civitai has no model {number}", hint="it was deleted or unpublished, or never existed")
        with self._in_words(f"civitai:{number}", missing):
            return self._client.model(number)

    def model_version(self, version: Id) -> ModelVersion:
        """Return one version of a model, with its files and their hashes.

        Parameters: `version` is its id (`128713`), a reference with one (`"civitai:4384@128713"`), or its page.

        Raises like `model`, and `InputError` for a reference without a version.
        """
        number = _version_number(version)
        with self._in_words(f"civitai:@{number}", no_version(number)):
            return self._client.model_version(number)

    def by_hash(self, value: str) -> ModelVersion:
        """Return the version that has a file with this hash.

        Parameters: `value` is hexadecimal, of any algorithm that the site knows; a prefix (`sha256:`) may be there.

        Raises `NotFound`, `AccessDenied` and `NetworkError`.
        """
        digits = value.rpartition(":")[2].strip()
        with self._in_words(value, NotFound(f"Civitai has no file with the hash {digits}")):
            return self._client.by_hash(digits)

    def by_hashes(self, sha256s: Iterable[str]) -> dict[str, ModelVersion]:
        """Return the versions with files of these SHA-256s, a hundred per request; unknown ones are left out.

        Raises `AccessDenied` and `NetworkError`.
        """
        digits = [value.rpartition(":")[2].strip() for value in sha256s]
        with self._in_words("a list of hashes"):
            return self._client.by_hashes(digits)

    def previews(self, version: ModelVersion) -> tuple[ModelImage, ...]:
        """Return the previews of a version, with the numbers of their full images. Raises like `model`."""
        with self._in_words(f"civitai:@{version.id}"):
            return self._client.previews(version)

    def image(self, image: int | str) -> Image:
        """Return an image with the settings that made it, `meta`; its `meta.models()` are what made it.

        Parameters: `image` is its number, or the address of its page (`https://civitai.com/images/7`). Raises like
        `model`.
        """
        number = image_id(str(image))
        if number is None:
            raise InvalidReference(f"`{image}` is not an image of Civitai", hint="use its number or its page")
        with self._in_words(f"image {number}"):
            return self._client.image(number)

    def me(self) -> Me:
        """Return the account of the token. Raises `AccessDenied` without a token, or for a wrong one."""
        with self._in_words("your account"):
            return self._client.me()

    def enums(self) -> Mapping[str, tuple[str, ...]]:
        """Return the words that the site's filters accept today, by the name of their set. Raises like `me`."""
        with self._in_words("the words of filters"):
            return self._client.enums()

    # -- lists: iterators, which ask for the next page when it is needed -------------------------------

    def models(
        self, query: str | None = None, *, limit: int | None = None, **filters: Unpack[ListFilters]
    ) -> Iterator[Model]:
        """Yield the models that fit, in the order of `sort`, at most `limit`.

        Parameters: `query` is text in the name. `filters` are those of the site: `types`, `base_models`, `tag`,
        `username`, `sort`, `period`, `nsfw`, `favorites`, `hidden`, `allow_commercial_use` … The words are its own
        (`types="LORA"`, `sort="Most Downloaded"`, `period="Month"`); `enums` has them. Without `nsfw`, models that
        are not for all ages are missing.

        Raises `InputError` if the site refuses the filters, `AccessDenied` and `NetworkError`, and `TypeError` for
        a filter that it does not have.
        """
        return self._listed("models", self._client.models(query=query, limit=limit, **filters))

    def images(
        self,
        *,
        model: Id | None = None,
        version: Id | None = None,
        limit: int | None = None,
        **filters: Unpack[PostedFilters],
    ) -> Iterator[Image]:
        """Yield the images that fit, at most `limit`, each address once.

        Parameters: `model` and `version` as in `model` and `model_version`. `filters` are those of the site:
        `username`, `post_id`, `sort`, `period`, `nsfw` (the most explicit level, `"None"`, `"Soft"` …, or a bool),
        `with_meta` for the settings that made an image. Raises like `models`.
        """
        number, version_id = self._of(model, version)
        found = self._client.images(model_id=number, version_id=version_id, limit=limit, **filters)
        return self._listed("images", found)

    def creators(self, query: str | None = None, *, limit: int | None = None) -> Iterator[Creator]:
        """Yield the creators whose names contain `query`, at most `limit` (0: all). Raises like `models`."""
        return self._listed("creators", self._client.creators(query=query, limit=limit))

    def tags(self, query: str | None = None, *, limit: int | None = None) -> Iterator[Tag]:
        """Yield the tags whose names contain `query`, at most `limit` (0: all). Raises like `models`."""
        return self._listed("tags", self._client.tags(query=query, limit=limit))

    def crawl(
        self,
        *,
        lists: Collection[str] = ("models",),
        galleries: int = 0,
        state: Mapping[str, Any] | None = None,
        pause: float = 0.5,
        **filters: Unpack[ModelFilters],
    ) -> Iterator[Thing | Relation | Progress]:
        """Yield models, versions, files, images, creators and tags, their relations, and points to go on from.

        Parameters: `lists` are of `creators`, `tags`, `models` and `images`; `galleries` is the number of images
        that people made with each model; `state` is that of the last `Progress` of an earlier crawl, which goes on.
        Requests are `pause` seconds apart. `filters` are those of `models`, with `query`.

        Raises like `models`, and `InputError` for the state of a crawl with other lists or filters.
        """
        found = crawl(self._client, lists=lists, galleries=galleries, state=state, pause=pause, **filters)
        return self._listed("models", found)

    # -- lists: one page, with the metadata of the site ------------------------------------------------

    def models_page(
        self,
        query: str | None = None,
        *,
        page: int | None = None,
        cursor: str | None = None,
        limit: int = 100,
        **filters: Unpack[ListFilters],
    ) -> Page[Model, CursorMetadata]:
        """Return one page of models: its `items`, and its `metadata` with the `next_cursor`, None at the end.

        Parameters: `page` is a number from 1, which a search by `query` does not have; `cursor` is the
        `next_cursor` of another page. `limit` is 0 to 100; `filters` are those of `models`.

        Raises like `models`, and `InputError` for a page that the site does not have.
        """
        with self._in_question("models"):
            return self._client.models_page(query=query, page=page, cursor=cursor, limit=limit, **filters)

    def images_page(
        self,
        *,
        model: Id | None = None,
        version: Id | None = None,
        page: int | None = None,
        cursor: str | None = None,
        limit: int = 200,
        **filters: Unpack[PostedFilters],
    ) -> Page[Image, CursorMetadata]:
        """Return one page of at most 200 images. Parameters as in `images` and `models_page`, errors as there."""
        number, version_id = self._of(model, version)
        with self._in_question("images"):
            return self._client.images_page(
                model_id=number, version_id=version_id, page=page, cursor=cursor, limit=limit, **filters
            )

    def creators_page(
        self, query: str | None = None, *, page: int = 1, limit: int = 20
    ) -> Page[Creator, PageMetadata]:
        """Return one page of creators; its `metadata` has the totals.

        Parameters: `limit` is 1 to 200, or 0 for all creators on one page. Raises like `models_page`.
        """
        with self._in_question("creators"):
            return self._client.creators_page(query=query, page=page, limit=limit)

    def tags_page(self, query: str | None = None, *, page: int = 1, limit: int = 20) -> Page[Tag, PageMetadata]:
        """Return one page of tags. Parameters and errors as in `creators_page`."""
        with self._in_question("tags"):
            return self._client.tags_page(query=query, page=page, limit=limit)

    # -- how it is asked ---------------------------------------------------------------------------

    def _model_number(self, model: Id) -> int:
        """The id of a model; that of a version alone costs a request."""
        if (number := _bare(model)) is not None:
            return number
        number, version = _ids(model)
        if number is None and version is not None:
            number = self.model_version(version).model_id
        if number is None:
            raise NotFound(f"Civitai does not say which model version {version} belongs to")
        return number

    @contextmanager
    def _in_words(self, what: str, missing: SynapseError | None = None) -> Iterator[None]:
        """Turn a status of the site into the error that it means; `missing` is the one for a 404."""
        try:
            yield
        except StatusError as error:
            if error.status == 404 and missing is not None:
                raise missing from error
            raise self._explained(what, error) from error

    def _of(self, model: Id | None, version: Id | None) -> tuple[int | None, int | None]:
        """The numbers of a model and a version, whose images are meant."""
        number = None if model is None else self._model_number(model)
        return number, None if version is None else _version_number(version)

    def _listed(self, what: str, items: Iterator[_T]) -> Iterator[_T]:
        with self._in_question(what):
            yield from items

    @contextmanager
    def _in_question(self, what: str) -> Iterator[None]:
        """Turn a status of the site about a list into the error that it means."""
        try:
            yield
        except StatusError as error:
            if error.status in _REFUSED_FILTERS:
                raise InputError(
                    f"Civitai does not accept this question ({error.status}): {error.body or error.message}",
                    hint="check the words of the filters: `enums()` has them",
                ) from error
            raise self._explained(what, error) from error

    def _explained(self, what: str, error: StatusError) -> SynapseError:
        has_token = self._client.api.credentials.has_token(error.url)
        return explain(Reference("url", what), error, has_token=has_token)


def _bare(value: Id) -> int | None:
    """The number that a value is by itself, or None."""
    if isinstance(value, str):
        return int(value) if value.strip().isdecimal() else None
    return value if isinstance(value, int) else None


def _ids(value: Id) -> tuple[int | None, int | None]:
    """The ids of the model and of the version in a reference; raises `InvalidReference`."""
    reference = value if isinstance(value, Reference) else Reference.parse(str(value))
    if reference.source != "civitai":
        raise InvalidReference(f"`{reference}` is not on Civitai", hint="write `civitai:4384`, or a number")
    version = reference.revision
    return int(reference.id) if reference.id else None, None if version is None else int(version)


def _version_number(version: Id) -> int:
    """The id of a version; raises `InputError` for a reference without one."""
    if (number := _bare(version)) is not None:
        return number
    model, number = _ids(version)
    if number is None:
        raise InputError(f"`civitai:{model}` names no version", hint="add one: `civitai:MODEL@VERSION`")
    return number

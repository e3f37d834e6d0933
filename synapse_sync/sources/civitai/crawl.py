"""Crawl Civitai: its models, versions, files, images, creators and tags, and how they are related.

with Client() as client:
    for item in crawl(client, tag="portrait"):
        if isinstance(item, Thing): ...        # a model, a version, a file, an image, a creator, a tag
        elif isinstance(item, Relation): ...   # a model has a version, an image was made with a version …
        else: ...                              # Progress: store it, to go on from here after an interruption
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field, fields, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any, TypeVar, Unpack

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.image_meta import ImageMeta
from synapse_sync.errors import InputError
from synapse_sync.sources.civitai.client import Client
from synapse_sync.sources.civitai.image_urls import ImageIds, identity
from synapse_sync.sources.civitai.questions import IMAGES, MODELS, NAMES, ModelFilters, model_params
from synapse_sync.sources.civitai.schema import Creator, Model, ModelFile, ModelImage, ModelVersion
from synapse_sync.sources.civitai.schema_lists import CursorMetadata, Image, Page, PageMetadata, Tag

Value = Model | ModelVersion | ModelFile | ModelImage | Image | Creator | Tag
Key = tuple["Kind", int | str]
Known = Callable[["Kind", int | str], bool]
#: The lists that a crawl reads, in this order. `models` leads to versions, files and images as well.
LISTS = ("creators", "tags", "models", "images")
#: Seconds between two requests. The site publishes no limit; half a second is what its other crawlers keep.
PAUSE = 0.5
_Named = TypeVar("_Named", Creator, Tag)


class Kind(StrEnum):
    """The kinds of things that Civitai has."""

    MODEL = "model"
    VERSION = "version"
    FILE = "file"
    IMAGE = "image"
    CREATOR = "creator"
    TAG = "tag"


class Link(StrEnum):
    """The kinds of relations, from the first thing to the second."""

    #: A model or an image, and its creator.
    CREATED_BY = "created-by"
    #: A model and one of its tags.
    TAGGED = "tagged"
    #: A model and one of its versions.
    HAS_VERSION = "has-version"
    #: A version and one of its files.
    HAS_FILE = "has-file"
    #: A version and one of its previews.
    SHOWN_BY = "shown-by"
    #: An image and a version that made it, with its weight where the image states one.
    MADE_WITH = "made-with"


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing: its kind, its id and its value.

    The id is Civitai's number; of a creator and a tag the name; of a file or an image without a number the SHA-256
    or the part that all its addresses share.
    """

    kind: Kind
    id: int | str
    value: Value = field(compare=False)

    @property
    def key(self) -> Key:
        """Its kind and id."""
        return self.kind, self.id


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation between two things, by their kinds and ids; `weight` is that of a model in an image."""

    link: Link
    first: Key
    second: Key
    weight: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """A point from which the crawl can go on: everything before it was yielded. `state` is plain JSON."""

    state: Mapping[str, Any]


def crawl(
    client: Client,
    *,
    lists: Collection[str] = ("models",),
    galleries: int = 0,
    state: Mapping[str, Any] | None = None,
    known: Known = lambda kind, id: False,
    pause: float = PAUSE,
    sleep: Callable[[float], object] = time.sleep,
    **filters: Unpack[ModelFilters],
) -> Iterator[Thing | Relation | Progress]:
    """Yield everything that `lists` lead to, each thing and relation once, and `Progress` after each model or page.

    `lists` are of `LISTS`; `filters` are those of `Client.models`. With `galleries`, at most that many images that
    people made with each model are asked for, with their settings. `state` is that of the last `Progress` of an
    earlier crawl with the same lists and filters, which goes on; things of an unfinished model appear again. A
    thing that is `known` to the caller is not yielded; its relations are. Requests are sent one after another,
    `pause` seconds apart, by `sleep`; a rate limit is waited for by the client.

    Raises `InputError` for an unknown list or the state of another crawl, and `StatusError` for a refused request:
    the last `Progress` is the point to go on from.
    """
    if unknown := sorted(set(lists) - set(LISTS)):
        raise InputError(f"`{unknown[0]}` is no list to crawl", hint=f"the lists are {', '.join(LISTS)}")
    question = {
        "lists": [name for name in LISTS if name in lists],
        "filters": [list(pair) for pair in model_params(filters)],
    }
    begun = dict(state or {})
    if begun and {name: begun.get(name) for name in question} != question:
        raise InputError(
            "this state belongs to a crawl with other lists or filters",
            hint="use the same ones to go on, or no state to begin anew",
        )
    return _Crawl(client, galleries, known, _Pace(pause, sleep), filters, question, begun).run()


class _Pace:
    """Keeps requests apart."""

    def __init__(self, pause: float, sleep: Callable[[float], object]) -> None:
        self._pause = pause
        self._sleep = sleep
        self._first = True

    def wait(self) -> None:
        """Wait before each request but the first."""
        if not self._first and self._pause > 0:
            self._sleep(self._pause)
        self._first = False


class _Crawl:
    """One crawl, and what it has yielded."""

    def __init__(
        self,
        client: Client,
        galleries: int,
        known: Known,
        pace: _Pace,
        filters: ModelFilters,
        question: Mapping[str, Any],
        begun: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._galleries = galleries
        self._known = known
        self._pace = pace
        self._filters = filters
        self._question = question
        self._finished: list[str] = list(begun.get("finished", ()))
        self._place: dict[str, Any] = dict(begun.get("place", {}))
        self._things: dict[Key, Creator | Tag | None] = {}
        self._relations: set[Relation] = set()
        self._addresses: dict[str, int | str] = {}

    def run(self) -> Iterator[Thing | Relation | Progress]:
        """Read the lists that are not finished, one after another."""
        steps: Mapping[str, Callable[[], Iterator[Thing | Relation | Progress]]] = {
            "creators": self._creators, "tags": self._tags, "models": self._models, "images": self._images,
        }  # fmt: skip
        for name in self._question["lists"]:
            if name not in self._finished:
                yield from steps[name]()
                self._finished.append(name)
                self._place = {}
                yield self._progress()

    def _progress(self) -> Progress:
        return Progress({**self._question, "finished": list(self._finished), "place": dict(self._place)})

    # -- the lists ---------------------------------------------------------------------------------

    def _creators(self) -> Iterator[Thing | Relation | Progress]:
        return self._names(Kind.CREATOR, self._client.creators_page, attrgetter("username"))

    def _tags(self) -> Iterator[Thing | Relation | Progress]:
        return self._names(Kind.TAG, self._client.tags_page, attrgetter("name"))

    def _names(
        self, kind: Kind, ask: Callable[..., Page[_Named, PageMetadata]], name: Callable[[_Named], str]
    ) -> Iterator[Thing | Relation | Progress]:
        """The pages of a list of names; `ask` requests one, `name` returns the name of an item."""
        page = self._place.get("page", 1)
        while page is not None:
            self._pace.wait()
            found = ask(page=page, limit=NAMES)
            for item in found.items:
                yield from self._named(kind, name(item), item)
            page = _next(page, found.metadata.total_pages, found.items)
            if page is not None:
                self._place = {"page": page}
                yield self._progress()

    def _models(self) -> Iterator[Thing | Relation | Progress]:
        cursors: set[str] = set()
        while True:
            cursor, done = self._place.get("cursor"), list(self._place.get("done", ()))
            self._pace.wait()
            found = self._client.models_page(cursor=cursor, limit=MODELS, **self._filters)
            for model in found.items:
                if model.id in done:
                    continue
                yield from self._model(model)
                done.append(model.id)
                self._place = {"cursor": cursor, "done": list(done)}
                yield self._progress()
            if not self._turn(found, cursors):
                return
            yield self._progress()

    def _images(self) -> Iterator[Thing | Relation | Progress]:
        cursors: set[str] = set()
        while True:
            self._pace.wait()
            found = self._client.images_page(
                cursor=self._place.get("cursor"), limit=IMAGES, nsfw=self._filters.get("nsfw"), with_meta=True
            )
            for image in found.items:
                yield from self._image(image)
            if not self._turn(found, cursors):
                return
            yield self._progress()

    def _turn(self, found: Page[Any, CursorMetadata], seen: set[str]) -> bool:
        """Go to the page after this one, unless it was the last; `seen` are the cursors so far.

        Hazard: a cursor that comes a second time would lead in a circle.
        """
        following = found.metadata.next_cursor
        if following is None or following in seen or not found.items:
            return False
        seen.add(following)
        self._place = {"cursor": following}
        return True

    # -- the things --------------------------------------------------------------------------------

    def _model(self, model: Model) -> Iterator[Thing | Relation]:
        """A model, and everything that its answer and its gallery lead to."""
        key = (Kind.MODEL, model.id)
        yield from self._new(Thing(*key, model))
        if model.creator is not None:
            yield from self._named(Kind.CREATOR, model.creator.username, model.creator)
            yield from self._related(Link.CREATED_BY, key, (Kind.CREATOR, model.creator.username))
        for name in model.tags:
            yield from self._named(Kind.TAG, name, Tag(name=name))
            yield from self._related(Link.TAGGED, key, (Kind.TAG, name))
        gallery = self._gallery(model)
        ids = ImageIds(gallery)
        for version in model.versions:
            yield from self._new(Thing(Kind.VERSION, version.id, version))
            yield from self._related(Link.HAS_VERSION, key, (Kind.VERSION, version.id))
            yield from self._parts(version, ids)
        for image in gallery:
            yield from self._image(image)

    def _gallery(self, model: Model) -> Sequence[Image]:
        if self._galleries <= 0:
            return ()
        self._pace.wait()
        nsfw = self._filters.get("nsfw")
        return tuple(self._client.images(model_id=model.id, nsfw=nsfw, with_meta=True, limit=self._galleries))

    def _parts(self, version: ModelVersion, ids: ImageIds) -> Iterator[Thing | Relation]:
        """The files and previews of a version; `ids` knows the images of its model."""
        key = (Kind.VERSION, version.id)
        for file in version.files:
            name = file.id if file.id is not None else file.hashes.sha256 or f"{version.id}/{file.name}"
            yield from self._new(Thing(Kind.FILE, name, file))
            yield from self._related(Link.HAS_FILE, key, (Kind.FILE, name))
        for preview in version.images:
            number = preview.id
            if number is None:
                number = ids.find(preview.url, hash=preview.hash, width=preview.width, height=preview.height)
            place = self._address(preview.url, number)
            yield from self._new(Thing(Kind.IMAGE, place, replace(preview, id=number)))
            yield from self._related(Link.SHOWN_BY, key, (Kind.IMAGE, place))

    def _image(self, image: Image) -> Iterator[Thing | Relation]:
        """An image with its settings, its creator, and the versions that made it."""
        place = self._address(image.url, image.id)
        key = (Kind.IMAGE, place)
        yield from self._new(Thing(*key, image), whole=True)
        if image.username is not None:
            yield from self._named(Kind.CREATOR, image.username, Creator(username=image.username))
            yield from self._related(Link.CREATED_BY, key, (Kind.CREATOR, image.username))
        for resource in (image.meta or ImageMeta({})).models(image.version_ids):
            if resource.version_id is not None:
                made = (Kind.VERSION, resource.version_id)
                yield from self._related(Link.MADE_WITH, key, made, weight=resource.weight)

    def _address(self, url: str, number: int | None) -> int | str:
        """The id of an image: one address has one, whichever list it is found in first."""
        at = identity(url)
        return self._addresses.setdefault(at, at if number is None else number)

    # -- each once ---------------------------------------------------------------------------------

    def _new(self, thing: Thing, *, whole: bool = False) -> Iterator[Thing]:
        """A thing that was not yielded yet; a `whole` image also after its preview, which has fewer facts."""
        mark: Key = (thing.kind, f"whole {thing.id}") if whole else thing.key
        if mark in self._things:
            return
        self._things[mark] = None
        self._things[thing.key] = None
        if not self._known(*thing.key):
            yield thing

    def _named(self, kind: Kind, name: str, value: _Named) -> Iterator[Thing]:
        """A creator or tag; it appears again if another list has further facts about it."""
        before = self._things.get((kind, name))
        known = value if before is None else _both(before, value)
        if known == before:
            return
        self._things[kind, name] = known
        if not self._known(kind, name):
            yield Thing(kind, name, known)

    def _related(self, link: Link, first: Key, second: Key, *, weight: float | None = None) -> Iterator[Relation]:
        relation = Relation(link, first, second, weight)
        if relation not in self._relations:
            self._relations.add(relation)
            yield relation


def _both(before: Creator | Tag, value: Creator | Tag) -> Creator | Tag:
    """The facts of both answers about one creator or tag; the later ones count."""
    later = {each.name: new for each in fields(value) if (new := getattr(value, each.name)) is not None}
    return replace(before, **later)


def _next(page: int, total: int | None, items: Sequence[object]) -> int | None:
    """The number of the next page; None at the end."""
    return page + 1 if items and total is not None and page < total else None

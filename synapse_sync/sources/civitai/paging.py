"""Civitai's lists, page by page: each item once, and no list without an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from synapse_sync.core.frozen import dataclass
from synapse_sync.net.api import Api
from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.image_urls import identity
from synapse_sync.sources.civitai.questions import PAGED, Params
from synapse_sync.sources.civitai.schema_lists import CursorMetadata, PageMetadata

#: After that many pages in a row without a new item, the list counts as ended, even if it names a next page.
_BARREN = 5
T = TypeVar("T")
M = TypeVar("M")


class Listing(Iterator[T], Generic[T, M]):
    """An iterator over a list, which asks for the next page when it is needed.

    `metadata` is that of the page which was read last, None before the first item. `cut` says whether items of
    that page were left out because of the limit, so that its `next_cursor` would skip them.
    """

    def __init__(
        self, pages: Iterator[tuple[Iterable[Fields], M]], decode: Callable[[Fields], T], limit: int | None
    ) -> None:
        self.metadata: M | None = None
        self.cut = False
        self._items = self._run(pages, decode, limit)

    def __next__(self) -> T:
        return next(self._items)

    def _run(
        self, pages: Iterator[tuple[Iterable[Fields], M]], decode: Callable[[Fields], T], left: int | None
    ) -> Iterator[T]:
        while left is None or left > 0:
            # `next` and not `for`: a further page is only asked for if an item of it is wanted.
            if (page := next(pages, None)) is None:
                return
            items, self.metadata = page
            for item in items:
                if left == 0:
                    self.cut = True
                    return
                yield decode(item)
                left = None if left is None else left - 1


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of the API at one endpoint; failures are `StatusError`s."""

    api: Api
    endpoint: str

    def ask(self, path: str, params: Params) -> Fields:
        """Return one page as it is."""
        return Fields(self.api.get_json(f"{self.endpoint}/api/v1/{path}", params), path)

    def by_cursor(
        self, path: str, params: Params, size: int, *, paged: bool
    ) -> Iterator[tuple[Iterable[Fields], CursorMetadata]]:
        """Yield the pages of a list that continues by cursor; as far as numbers go, and if `paged`, by number."""
        page, cursor = 1, None
        cursors: set[str] = set()
        fresh = _Fresh("id", url="url" if path == "images" else None)
        while not fresh.is_barren:
            by_page = paged and page * size <= PAGED
            where = [("page", str(page))] if by_page else [] if cursor is None else [("cursor", cursor)]
            answer = self.ask(path, [*params, *where, ("limit", str(size))])
            metadata = CursorMetadata.decode(answer.object("metadata"))
            yield fresh.among(answer.need_objects("items")), metadata
            cursor = metadata.next_cursor or self._cursor_in(metadata.next_page)
            page += 1
            if cursor is None:
                # Answers of 2023 continued with a page, and had no cursor.
                if not (by_page and page * size <= PAGED and self.is_ours(metadata.next_page)):
                    return
            elif cursor in cursors:
                return
            else:
                cursors.add(cursor)

    def by_number(
        self, path: str, key: str, params: Params, size: int
    ) -> Iterator[tuple[Iterable[Fields], PageMetadata]]:
        """Yield the pages of a list that has numbers only."""
        page, more = 0, True
        fresh = _Fresh(key)
        while more and not fresh.is_barren:
            page += 1
            answer = self.ask(path, [*params, ("page", str(page)), ("limit", str(size))])
            items = answer.need_objects("items")
            metadata = PageMetadata.decode(answer.object("metadata"))
            yield fresh.among(items), metadata
            total = metadata.total_pages
            more = bool(items) and (self.is_ours(metadata.next_page) if total is None else page < total)

    def is_ours(self, url: str | None) -> bool:
        """Whether a next page is on the host that was asked; a link to any other host is not followed."""
        try:
            return url is not None and urlsplit(url).netloc.lower() == urlsplit(self.endpoint).netloc.lower()
        except ValueError:
            return False

    def _cursor_in(self, url: str | None) -> str | None:
        if url is None or not self.is_ours(url):
            return None
        return dict(parse_qsl(urlsplit(url).query)).get("cursor")


class _Fresh:
    """A filter that passes each item of a list once: by its key and, with `url`, also by the image at its address.

    Race: an item that is published between two requests moves others onto the next page.
    """

    def __init__(self, key: str, *, url: str | None = None) -> None:
        self._key = key
        self._url = url
        self._seen: set[str] = set()
        self._addresses: set[str] = set()
        self._barren = 0

    @property
    def is_barren(self) -> bool:
        """Whether the last pages had nothing new, so that the list may be endless."""
        return self._barren >= _BARREN

    def among(self, items: Iterable[Fields]) -> Iterator[Fields]:
        """Return the items of a page that were on no page before; an item without a key passes, to be reported."""
        known = len(self._seen)
        for item in items:
            key = item.text(self._key)
            address = item.text(self._url) if self._url is not None else None
            at = None if address is None else identity(address)
            if (key is None or key not in self._seen) and (at is None or at not in self._addresses):
                self._seen.add(key or "")
                if at is not None:
                    self._addresses.add(at)
                yield item
        self._barren = 0 if len(self._seen) > known else self._barren + 1

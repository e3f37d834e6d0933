"""Options and numbers that the verbs for Civitai's lists share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.nearest import meant, suggestion
from synapse_sync.sources.civitai.filters import spelled

if TYPE_CHECKING:
    from synapse_sync.cli.console import Console
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.sources.civitai.paging import Listing
    from synapse_sync.sources.civitai.schema_lists import CursorMetadata, Page, PageMetadata

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_COUNT = click.IntRange(0, 5000)
#: For lists of models and images, where 0 is a page without items, as on the site.
limit = click.option("--limit", metavar="N", type=_COUNT, default=20, show_default=True, help="At most this many.")
#: For lists of creators and tags, where 0 is all of them, as in the site's documentation.
limit_or_all = click.option(
    "--limit", metavar="N", type=_COUNT, default=20, show_default=True, help="At most this many; 0 lists all."
)
page = click.option("--page", metavar="N", type=click.IntRange(1), help="The Nth page of --limit items, from 1.")
cursor = click.option("--cursor", metavar="CURSOR", help="The page that begins here: the `next_cursor` of --json.")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Items of a list, and the metadata of the page that was read last, for `--json`."""

    items: list[T]
    metadata: dict[str, Any]


def all_of(listing: Listing[T, CursorMetadata] | Listing[T, PageMetadata]) -> Found[T]:
    """Read a list to its end or limit."""
    items = list(listing)
    value = {} if listing.metadata is None else asdict(listing.metadata)
    if listing.cut:  # the rest of the last page would be skipped
        value |= dict.fromkeys({"next_cursor", "next_page"} & value.keys())
    return Found(items, value)


def one_page(page: Page[T, CursorMetadata] | Page[T, PageMetadata]) -> Found[T]:
    """Return a page with its metadata."""
    return Found(list(page.items), asdict(page.metadata))


def names_of(
    console: Console,
    what: str,
    every: Callable[[Client], Callable[..., Listing[T, PageMetadata]]],
    paged: Callable[[Client], Callable[..., Page[T, PageMetadata]]],
    *,
    query: str | None,
    limit: int,
    page: int | None,
) -> Found[T]:
    """Return the creators or tags of Civitai whose names contain `query`: at most `limit`, or one page of them.

    `what` names them in errors. `every` and `paged` choose the client's questions for a list and for a page.
    Raises `NetworkError`.
    """
    from synapse_sync.workspace import Workspace

    def ask(civitai: Client) -> Found[T]:
        if page is None:
            return all_of(every(civitai)(query=query, limit=limit))
        return one_page(paged(civitai)(query=query, page=page, limit=limit))

    with Workspace.anywhere(console.directory) as workspace:
        return workspace.ask(what, ask)


class UnknownWord(click.BadParameter):
    """A word that is not in its set, with a next step."""

    def __init__(self, text: str, hint: str, option: str | None = None) -> None:
        super().__init__(f"`{text}` is unknown", param_hint=option)
        self.hint = hint


def word(
    words: Sequence[str], *, also: Mapping[str, str] | None = None, open: bool = False
) -> Callable[[str], str]:
    """Return a type for options that accept a word of the site, in any capitals.

    An unknown word is refused, with the nearest known one as a hint. `also` maps words of synapse to words of the
    site. The site may know more words of an `open` set than `words` has: an unknown word that resembles none of
    them is sent as it is.
    """

    def read(value: str) -> str:
        text = value.strip()
        known = (also or {}).get(text.casefold().replace("-", "_")) or spelled(text, words)
        if known is not None:
            return known
        all_words = (*words, *(also or ()))
        if open and meant(text, all_words) is None:
            return text
        raise UnknownWord(text, suggestion(text, all_words, what="words") or "")

    return read


def model_filters(command: F) -> F:
    """Add the options for the rarer filters of models, under the names that `ModelFilters` has for them."""
    commercial = word(("None", "Image", "Rent", "RentCivit", "Sell"), open=True)
    options = (
        click.option("--favorites", is_flag=True, default=None, help="Only the favorites of your account."),
        click.option("--hidden", is_flag=True, default=None, help="Only models that your account hides."),
        click.option("--rating", type=click.IntRange(0, 5), metavar="STARS", help="Of this rating."),
        click.option(
            "--primary-file-only", is_flag=True, default=None, help="Without the other files of versions."
        ),
        click.option("--supports-generation", is_flag=True, default=None, help="Only those that the site can run."),
        click.option("--allow-no-credit/--no-allow-no-credit", default=None, help="Usable without credit, or not."),
        click.option(
            "--allow-derivatives/--no-allow-derivatives", default=None, help="Merges are allowed, or not."
        ),
        click.option(
            "--allow-different-licenses/--no-allow-different-licenses",
            default=None,
            help="Derivatives may have another license, or not.",
        ),
        click.option(
            "--allow-commercial-use",
            multiple=True,
            type=commercial,
            metavar="USE",
            help="None, Image, Rent, RentCivit or Sell (repeatable).",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def short_count(number: int | None) -> str:
    """Return a number as text for a narrow column: `950`, `12k`, `1.2M`."""
    if number is None:
        return ""
    size, unit = float(number), ""
    for unit in ("", "k", "M", "G"):
        if size < 999.5 or unit == "G":
            break
        size /= 1000
    return f"{size:.0f}{unit}" if not unit or size >= 9.95 else f"{size:.1f}{unit}"

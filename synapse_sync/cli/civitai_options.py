"""What the verbs that look around on Civitai share: words as options, questions, numbers for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from synapse_sync.sources.civitai.filters import nearest, spelled

if TYPE_CHECKING:
    from synapse_sync.workspace import Workspace

T = TypeVar("T")
limit = click.option(
    "--limit", metavar="N", type=click.IntRange(1, 5000), default=20, show_default=True, help="So many at most."
)


class UnknownWord(click.BadParameter):
    """A word that is not among those of its set, with a next step."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(f"`{text}` is not known")
        self.hint = hint


def word(
    words: Sequence[str], *, also: Mapping[str, str] | None = None, open: bool = False
) -> Callable[[str], str]:
    """A type of options: a word of the site in any capitals; one that is not known is refused, with the nearest.

    `also` has our own words for some of the site's. Of an `open` set the site may know more than we do: there a
    word that resembles none of ours goes to the site as it is.
    """

    def read(value: str) -> str:
        text = value.strip()
        known = (also or {}).get(text.casefold().replace("-", "_")) or spelled(text, words)
        if known is not None:
            return known
        near = nearest(text, (*words, *(also or ())))
        if open and not near:
            return text
        raise UnknownWord(text, f"did you mean `{near[0]}`?" if near else f"known are {', '.join(words)}")

    return read


def asked(workspace: Workspace, what: str, items: Iterable[T]) -> list[T]:
    """All items of a question to Civitai; its refusals come out in words."""
    return list(_asked(workspace, what, items))


def _asked(workspace: Workspace, what: str, items: Iterable[T]) -> Iterator[T]:
    from synapse_sync.core.reference import Reference
    from synapse_sync.errors import InputError, StatusError

    try:
        yield from items
    except StatusError as error:
        if error.status in (400, 404, 422):
            raise InputError(
                f"Civitai does not take this question ({error.status}): {error.body or error.message}",
                hint="check the words of the filters, and try with fewer of them",
            ) from error
        raise workspace.sources["civitai"].explain(Reference("url", what), error) from error


def short_count(number: int | None) -> str:
    """A number for a narrow column: `950`, `12k`, `1.2M`."""
    if number is None:
        return ""
    size, unit = float(number), ""
    for unit in ("", "k", "M", "G"):
        if size < 999.5 or unit == "G":
            break
        size /= 1000
    return f"{size:.0f}{unit}" if not unit or size >= 9.95 else f"{size:.1f}{unit}"

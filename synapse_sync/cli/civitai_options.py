"""What the verbs that look around on Civitai share: words as options, questions, numbers for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import click

from synapse_sync.sources.civitai.filters import nearest, spelled

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

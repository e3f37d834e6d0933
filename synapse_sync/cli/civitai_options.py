"""Options and numbers that the verbs for Civitai's lists share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import click

from synapse_sync.sources.civitai.filters import nearest, spelled

limit = click.option(
    "--limit", metavar="N", type=click.IntRange(1, 5000), default=20, show_default=True, help="At most this many."
)


class UnknownWord(click.BadParameter):
    """A word that is not in its set, with a next step."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(f"`{text}` is unknown")
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
        near = nearest(text, (*words, *(also or ())))
        if open and not near:
            return text
        raise UnknownWord(text, f"did you mean `{near[0]}`?" if near else f"known words: {', '.join(words)}")

    return read


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

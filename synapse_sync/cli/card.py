"""Cards: a model and its files in the same words, whether a site (`info`) or the lockfile (`show`) has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.render import word_lines
from synapse_sync.cli.texts import cell_text
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.artifact import ModelCard, Preview


def previews_text(previews: tuple[Preview, ...]) -> str | None:
    """Return the number of images, and the ids of those that are known."""
    numbers = ", ".join(str(preview.id) for preview in previews if preview.id is not None)
    return f"{len(previews)}" + (f" (images {numbers})" if numbers else "") if previews else None


def version_words(card: ModelCard) -> dict[str, str | None]:
    """Return the facts about one version, by name; the order is that of all commands."""
    return {
        "base model": card.base_model,
        "published": (card.published or "")[:10],
        "trained words": ", ".join(card.trained_words),
        "nsfw level": None if card.nsfw is None else str(card.nsfw),
        "previews": previews_text(card.previews),
    }


def file_lines(
    name: str, size: int | None, remark: str, words: Mapping[str, str | None], *, whole: bool = False
) -> Iterator[str]:
    """Return the lines about one file: its name, its size in bytes, a remark, and facts by name.

    With `whole`, no line is broken.
    """
    shown = "size unknown" if size is None else size_text(size)
    tail = f"  ({remark})" if remark else ""
    yield f"  {click.style('file', bold=True)}  {cell_text(name)}  {shown}{tail}"
    yield from word_lines(words, "    ", whole=whole)


def about_text(facts: Mapping[str, str | None]) -> str:
    """Return the facts about a file in one line."""
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value)

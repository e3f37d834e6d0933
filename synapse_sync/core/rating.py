"""Ratings: how explicit an image is, and whether it may be shown. Pure."""

from __future__ import annotations

from synapse_sync.core.artifact import RATINGS


def explicitness(rating: int, model: int | None) -> int:
    """How explicit an image is, as one bit of `RATINGS`.

    `rating` is the image's own bitmask, 0 where nobody rated it; `model` is that of its model, None if unknown. An
    unrated image is as explicit as its model may be; without any fact it counts as the most explicit.
    """
    known = rating or model or RATINGS["xxx"]
    return 1 << (known.bit_length() - 1)


def may_be_shown(rating: int, model: int | None, most: str) -> bool:
    """Whether an image may be shown where `most` (`pg`, `pg13`, `r`, `x` or `xxx`) is the most explicit rating."""
    return explicitness(rating, model) <= RATINGS[most]


def rating_name(rating: int, model: int | None) -> str:
    """The rating of an image in a word of `RATINGS`; the parameters are those of `explicitness`."""
    return {bit: name for name, bit in RATINGS.items()}.get(explicitness(rating, model), "xxx")

"""Nearest: which of the known words somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, if any is."""
    import difflib  # only here: most words are known

    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)

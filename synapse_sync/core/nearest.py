"""Find the known word that somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, apart from case; None if none is similar."""
    import difflib  # only here: most words are known

    folded = {name.casefold(): name for name in known}
    return next((folded[name] for name in difflib.get_close_matches(word.casefold(), list(folded), n=1)), None)

"""Find the known words that somebody probably meant, at a bounded cost whatever the words are."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice

#: The most words that are looked at, and the most characters of a word that are compared. Names come from sites and
#: archives: without the limits, 9,000 long names cost ten seconds.
MAX_WORDS, MAX_LENGTH = 10_000, 96
#: That many words, by the letters that they share with the given one, are compared letter by letter.
_CLOSER = 40


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, apart from case; None if none is similar."""
    folded = {name.casefold(): name for name in known}
    return next((folded[name] for name in alike(word.casefold(), folded, count=1)), None)


def alike(word: str, known: Iterable[str], *, count: int = 3, cutoff: float = 0.6) -> list[str]:
    """Up to `count` known words that are like `word`, the most similar first.

    `cutoff` is the least similarity, from 0 to 1, as in `difflib`. Only the first `MAX_WORDS` words and the first
    `MAX_LENGTH` characters of each are compared.
    """
    import difflib  # only here: most words are known

    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(word[:MAX_LENGTH])
    # The shared letters are an upper bound of the similarity and cost a fraction of it.
    bounds: list[tuple[float, str]] = []
    for name in islice(known, MAX_WORDS):
        matcher.set_seq1(name[:MAX_LENGTH])
        if matcher.real_quick_ratio() >= cutoff and (bound := matcher.quick_ratio()) >= cutoff:
            bounds.append((bound, name))
    found: list[tuple[float, str]] = []
    for _, name in heapq.nlargest(_CLOSER, bounds):
        matcher.set_seq1(name[:MAX_LENGTH])
        if (ratio := matcher.ratio()) >= cutoff:
            found.append((ratio, name))
    return [name for _, name in heapq.nlargest(count, found)]

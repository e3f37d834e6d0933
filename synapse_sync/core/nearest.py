"""Find the known words that somebody probably meant, at a bounded cost whatever the words are.

All hints about an unknown word come from here: commands, options, keys, names, types, layouts, sites and values.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from itertools import islice

#: The most words that are looked at, and the most characters of a word that are compared. Names come from sites and
#: archives: without the limits, 9,000 long names cost ten seconds.
MAX_WORDS, MAX_LENGTH = 10_000, 96
#: That many words, by the letters that they share with the given one, are compared letter by letter.
_CLOSER = 40
#: The most known words that a hint lists.
_LISTED = 40


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, apart from case; None if none is similar."""
    folded = {name.casefold(): name for name in known}
    return next((folded[name] for name in alike(word.casefold(), folded, count=1)), None)


def meant(word: str, known: Iterable[str]) -> str | None:
    """The known word that somebody means by an unknown one of a closed set; None if none is similar.

    Capitals, blanks, hyphens and underscores do not count. A word that begins like the given one goes before one
    that only looks like it.
    """
    return next(iter(_meant(word, known)), None)


def _meant(word: str, known: Iterable[str]) -> list[str]:
    """The known words that may be meant, the best first."""
    names = {_key(name): name for name in islice(known, MAX_WORDS)}
    key = _key(word)
    if key in names:
        return [names[key]]
    begun = [names[name] for name in sorted(names, key=len) if len(key) > 1 and name.startswith(key)]
    return begun or [found for found in [nearest(word, names.values())] if found is not None]


def suggestion(
    word: str, known: Iterable[str], otherwise: str | None = None, *, most: int = 1, what: str = ""
) -> str | None:
    """The hint about an unknown word: the known ones that may be meant, at most `most`, else `otherwise`.

    Without `otherwise`, it lists the known words, as long as they are few; `what` names them all.
    """
    words = list(known)
    if found := _meant(word, words)[:most]:
        return did_you_mean(*found)
    if otherwise is None and words:
        listed = ", ".join(words[:_LISTED]) + (" …" if len(words) > _LISTED else "")
        return f"known {what}: {listed}" if what else f"available: {listed}"
    return otherwise


def did_you_mean(*words: str) -> str:
    """The question about one word or a few."""
    return f"did you mean {' or '.join(f'`{word}`' for word in words)}?"


def _key(word: str) -> str:
    return re.sub(r"[\W_]", "", word[:MAX_LENGTH]).casefold()


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

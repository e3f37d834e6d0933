"""Findings: errors and warnings of one kind with one mend, put together. Every command prints them this way.

Two messages are of one kind if they differ only in one quoted name or address. They share a mend if their hints
differ only in the same name. So a raiser writes an ordinary sentence about one thing, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import SynapseError

#: How many names one message has.
MOST = 20
#: The parts of a message that may name one thing among several: text in backticks, and addresses.
_SLOT = r"(`[^`\n]*`|https?://[^\s`,;)]*[^\s`,;:.)])"  # `re` compiles it when it is first used
#: Words that follow a name, for several names.
_PLURAL = {"is": "are", "was": "were", "has": "have", "does": "do"}
#: Verbs of messages that lose their `s`. A noun may follow a name, too (`8 files`), so they are listed.
_VERBS = (
    "answers", "belongs", "comes", "declares", "ends", "exists", "goes", "hands", "includes", "keeps", "leads",
    "lists", "locks", "manages", "matches", "needs", "pins", "promises", "redirects", "refers", "refuses",
    "replaces", "says", "shares", "starts", "wants",
)  # fmt: skip
_PLURAL |= {verb: verb.removesuffix("s") for verb in _VERBS} | {"goes": "go", "matches": "match"}
#: A reference to a model, which says less to its user than the model's own name.
_REFERENCE = re.compile(r"(?!https?:)[a-z0-9]+:")
_NEXT = re.compile(r"\A( )([a-z]+)\b")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to report: its message, its hint, and the errors that it puts together."""

    message: str
    hint: str | None
    errors: tuple[SynapseError, ...]


def listed(names: Iterable[str], most: int = MOST) -> str:
    """Return names in backticks, the first `most` of them, and the number of the others."""
    known = list(dict.fromkeys(names))
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(f"`{name}`" for name in known[:most]) + more


def grouped(errors: Iterable[SynapseError]) -> tuple[Finding, ...]:
    """Put errors of one kind with one mend together, in the order of the first of each kind."""
    kinds: dict[object, list[SynapseError]] = {}
    for error in errors:
        kinds.setdefault(_kind(error), []).append(error)
    groups = [part for group in kinds.values() for part in _alike(group)]
    order = {id(error): number for number, error in enumerate(error for group in kinds.values() for error in group)}
    return tuple(_finding(group) for group in sorted(groups, key=lambda group: order[id(group[0])]))


def grouped_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Put warnings of one kind together: those that differ in one name only become one with all names."""
    return tuple(finding.message for finding in grouped(SynapseError(text) for text in dict.fromkeys(texts)))


def _kind(error: SynapseError) -> object:
    """The common part of errors of one kind: the type, and the texts around the names."""
    return type(error), tuple(_texts(error.message)), _mend(error)


def _texts(text: str) -> list[str]:
    """The texts around the names of a message."""
    return re.split(_SLOT, text)[::2]


def _names(text: str) -> list[str]:
    """The names of a message, without backticks."""
    return [name.strip("`") for name in re.split(_SLOT, text)[1::2]]


def _mend(error: SynapseError) -> str | None:
    """The hint, with `\0` for the names that the error is about, in the commands that it quotes."""
    if error.hint is None:
        return None
    parts = re.split(_SLOT, error.hint)
    for name in sorted({name for name in (error.subject, *_names(error.message)) if name}, key=len, reverse=True):
        parts[1::2] = [_word(name).sub("\0", part) for part in parts[1::2]]
    return "".join(parts)


def _word(name: str) -> re.Pattern[str]:
    """A pattern for a name as a word of its own."""
    return re.compile(rf"(?<![\w/.-]){re.escape(name)}(?![\w/-])")


def _alike(errors: Sequence[SynapseError]) -> list[list[SynapseError]]:
    """Split errors with the same texts so that those of one part differ in one name at most."""
    names = [_names(error.message) for error in errors]
    slots = range(len(names[0]))
    counts = [len({each[slot] for each in names}) for slot in slots]
    varying = max(slots, key=lambda slot: counts[slot], default=0)
    parts: dict[tuple[str, ...], list[SynapseError]] = {}
    for error, each in zip(errors, names, strict=True):
        parts.setdefault((*each[:varying], *each[varying + 1 :]), []).append(error)
    return list(parts.values())


def _finding(errors: Sequence[SynapseError]) -> Finding:
    first = errors[0]
    if len(errors) == 1:
        about = first.subject is not None and not _is_named(first.subject, first.message)
        message = f"`{first.subject}`: {first.message}" if about else first.message
        return Finding(message, first.hint, tuple(errors))
    subjects = list(dict.fromkeys(error.subject for error in errors if error.subject is not None))
    names = [_names(error.message) for error in errors]
    varying = next((slot for slot in range(len(names[0])) if len({each[slot] for each in names}) > 1), None)
    if varying is None:
        prefix = (
            f"{listed(subjects)}: "
            if subjects and not (len(subjects) == 1 and _is_named(subjects[0], first.message))
            else ""
        )
        return Finding(f"{prefix}{first.message}", _shared_hint(errors, subjects), tuple(errors))
    items = list(dict.fromkeys(each[varying] for each in names))
    parts = re.split(_SLOT, first.message)
    parts[2 * varying + 1] = _several(items, subjects, len(errors), bare=parts[2 * varying + 1][0] != "`")
    parts[2 * varying + 2] = _NEXT.sub(lambda found: f" {_PLURAL.get(found[2], found[2])}", parts[2 * varying + 2])
    message = "".join(parts)
    if len(subjects) == 1 and not _is_named(subjects[0], message):
        message = f"`{subjects[0]}`: {message}"
    return Finding(message, _shared_hint(errors, subjects or items), tuple(errors))


def _is_named(subject: str, message: str) -> bool:
    """Whether a message names its subject: in backticks, or as a word that is too long for a chance."""
    where = message if len(subject) > 3 else " ".join(re.split(_SLOT, message)[1::2])
    return re.search(rf"(?<![\w-]){re.escape(subject)}(?![\w-])", where) is not None


def _several(items: Sequence[str], subjects: Sequence[str], count: int, *, bare: bool) -> str:
    """The words for several things in the place of one: models, where each has a reference of its own."""
    if len(subjects) == count and all(_REFERENCE.match(item) for item in items):
        return f"{count} models ({listed(subjects)})"
    return ", ".join(items[:MOST]) if bare and len(items) <= MOST else listed(items)


def _shared_hint(errors: Sequence[SynapseError], names: Sequence[str]) -> str | None:
    """One hint for all: an option or an argument that names one thing names all of them."""
    hint = errors[0].hint
    if hint is None or all(error.hint == hint for error in errors):
        return hint
    mend = _mend(errors[0]) or hint
    words = names if len(names) <= MOST else [*names[:MOST]]

    def every(found: re.Match[str]) -> str:
        return " ".join(f"{found[1]}{name}" for name in words)

    return re.sub(r"((?:--[a-z-]+ )?)\0", every, mend)

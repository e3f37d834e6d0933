"""The little YAML that writers need: scalars, and top-level sections that are exchanged in an existing text. Pure.

Everything outside those sections, comments as well, stays as it is, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from synapse_sync.errors import InputError

#: A text that every reader of YAML takes for this very text: not a number, a date, or a word such as `no`.
_PLAIN = re.compile(r"(?a)[A-Za-z_./~][\w./@+-]*(?::[\w./@+-]+)*\Z")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n", "~", ".inf", ".nan"})
#: The first line of a top-level section in block form; its key is plain or quoted.
_SECTION = re.compile(
    r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s#&*!|>'"%@`?{}\[\],-][^:#{}\[\]]*?))\s*:(?:\s|\Z)"""
)


def scalar(text: str) -> str:
    """A text as one scalar: plain where that is surely the same text, else in double quotes as in JSON."""
    if _PLAIN.match(text) and text.casefold() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def with_sections(text: str, sections: Mapping[str, Sequence[str]], what: str) -> str:
    """Put sections into a document: in the place of those with the same keys, new ones at its end.

    Each section has its lines without line ends, the first one with its key. `what` names the document in errors.
    Raises `InputError` for a document that is not a mapping in block form.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    found = dict(_found(lines, what))
    out: list[str] = []
    at = 0
    for start, (key, stop) in sorted(found.items()):
        if key in sections:
            out += (*lines[at:start], *sections[key])
            at = stop
    out += lines[at:]
    known = {key for key, _ in found.values()}
    for key, section in sections.items():
        if key not in known:
            out += (*([""] if out and out[-1].strip() else []), *section)
    return "".join(f"{line}{end}" for line in out)


def _found(lines: Sequence[str], what: str) -> Iterator[tuple[int, tuple[str, int]]]:
    """The first line of each section, with its key and the line behind its last one; comments are outside."""
    starts: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        if not line or line[0] in " #" or (line.rstrip() == "---" and not starts):
            continue
        if (head := _SECTION.match(line)) is None:
            raise InputError(
                f"{what}: line {number + 1} is in no form that synapse can complete",
                hint="write to a new file, and copy the section from there",
            )
        starts.append((number, _key(head)))
    keys = [key for _, key in starts]
    if len({*keys}) < len(keys):
        raise InputError(f"{what}: a key is defined twice", hint="remove one of them, then export again")
    for (start, key), (next_one, _) in pairwise([*starts, (len(lines), "")]):
        stop = max((n for n in range(start, next_one) if lines[n][:1] == " " or n == start), default=start) + 1
        yield start, (key, stop)


def _key(head: re.Match[str]) -> str:
    """The key in the first line of a section. In single quotes, as in double quotes, it may contain a colon."""
    quoted, *others = head.groups()
    if quoted is None:
        return next(key for key in others if key is not None)
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        return quoted

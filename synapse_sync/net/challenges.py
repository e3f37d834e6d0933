"""Challenges: what a server asks for in its `WWW-Authenticate` header. Pure.

The syntax is that of RFC 9110, section 11; registries use the schemes Bearer and Basic (distribution's
`spec/auth/token.md`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

#: A server needs no longer header than this, in characters.
_LONGEST = 8192
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PART = re.compile(rf"({_TOKEN})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}))|(?:\A|,)\s*({_TOKEN})(?=[\s,]|\Z)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to be let in: its scheme and the names of its parameters in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a header, in its order; whatever cannot be read is passed over."""
    found: list[Challenge] = []
    for part in _PART.finditer(header[:_LONGEST]):
        name, quoted, plain, scheme = part.groups()
        if scheme is not None:
            found.append(Challenge(scheme.lower(), {}))
        elif found:
            value = plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1] = Challenge(found[-1].scheme, {**found[-1].parameters, name.lower(): value})
    return tuple(found)

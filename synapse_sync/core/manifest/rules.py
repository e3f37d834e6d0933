"""The table `[policy]`: from its texts to the rules that locked models have to follow."""

from __future__ import annotations

import re
from collections.abc import Collection

from synapse_sync.core.manifest.mistakes import Mistakes
from synapse_sync.core.manifest.shape import PolicyTable
from synapse_sync.core.manifest.values import Rules
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.size_text import parse_size

_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::\d{1,5})?")


def read_rules(raw: PolicyTable, names: Collection[str], mistakes: Mistakes) -> Rules:
    """Return the rules of the table; `names` are the models of the manifest. Mistakes are added to `mistakes`."""
    for name in raw.exempt:
        if name not in names:
            mistakes.bad(("policy", "exempt"), f"no model `{name}`", suggestion(name, names))
    return Rules(
        formats=None if raw.formats is None else tuple(dict.fromkeys(raw.formats)),
        commercial_use=raw.commercial_use,
        nsfw=raw.nsfw,
        max_size=_size(raw.max_size, mistakes),
        hosts=None if raw.hosts is None else tuple(_host(text, mistakes) for text in raw.hosts),
        exempt=tuple(raw.exempt),
    )


def _size(value: int | str | None, mistakes: Mistakes) -> int | None:
    """A number of bytes, or a text like `20GB`."""
    if value is None:
        return None
    size = parse_size(str(value))
    if not size:
        mistakes.bad(("policy", "max-size"), f"`{value}` is not a size", 'write a number of bytes, or `"20GB"`')
    return size


def _host(text: str, mistakes: Mistakes) -> str:
    """A host name in lower case, `*.` before it for all hosts below it."""
    host = text.lower()
    if _HOST.fullmatch(host) is None:
        mistakes.bad(("policy", "hosts"), f"`{text}` is not a host", 'like `"example.org"` or `"*.example.org"`')
    return host

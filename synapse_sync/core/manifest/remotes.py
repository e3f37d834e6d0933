"""Read the remotes of a manifest: from addresses to values."""

from __future__ import annotations

from collections.abc import Sequence

from synapse_sync.core.manifest.mistakes import Mistakes
from synapse_sync.core.remote import Remote, parse_remote, unique
from synapse_sync.errors import InputError


def read_remotes(path: tuple[str, ...], value: str | Sequence[str], mistakes: Mistakes) -> tuple[Remote, ...]:
    """The remotes of the key at `path`, an address or a list of them; each mistake is kept."""
    found = []
    for text in (value,) if isinstance(value, str) else value:
        try:
            found.append(parse_remote(text, ""))
        except InputError as error:
            mistakes.bad(path, error.message, error.hint)
    return unique(found)

"""Changed blobs: somebody wrote to a file of the store, perhaps through a link. It is theirs, so it stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from synapse_sync.core.findings import listed
from synapse_sync.errors import Conflict


class Shelf(Protocol):
    """The part of a blob store that this needs; `BlobStore` says what the method does."""

    def is_changed(self, sha256: str) -> bool: ...


def check_unchanged(shelf: Shelf, shown: Mapping[str, str], outcome: str | None = None) -> None:
    """Check, before right bytes come, that no changed blob would have to go for them: a link may lead to it.

    `shown` has the name of each file for messages, by its SHA-256; `outcome` says what became of the command.
    Raises `Conflict`.
    """
    changed = [name for sha256, name in shown.items() if shelf.is_changed(sha256)]
    if not changed:
        return
    copies, them = ("copies were", "they were") if len(changed) > 1 else ("copy was", "it was")
    raise Conflict(
        f"{listed(changed)}: the store's {copies} changed by somebody, perhaps through a link; "
        f"{outcome or f'{them} not replaced'}",
        hint="`synapse store verify` sets such files aside; then run it again",
    )

"""Elsewhere: which blobs other projects of the store list, looked at again only where it changed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from synapse_sync.store import receipt, receipt_log
from synapse_sync.store.project_note import RECORDS
from synapse_sync.store.projects import records


class ListedElsewhere:
    """The SHA-256 of all that other projects' receipts list; a receipt is read again only when it has changed.

    `own` are the keys of this project's receipts, in the store at `store`.
    """

    def __init__(self, store: Path, own: Collection[str]) -> None:
        self._store = store
        self._own = own
        self._noted: tuple[int, ...] = ()
        self._roots: tuple[Path, ...] = ()
        self._known: dict[Path, tuple[tuple[int, ...], set[str]]] = {}

    def __contains__(self, sha256: str) -> bool:
        return any(sha256 in self._digests(path) for root in self._others() for path in receipt.paths(root))

    def _others(self) -> tuple[Path, ...]:
        if self._noted != (noted := _look(self._store / RECORDS)):
            self._noted = noted
            self._roots = tuple(
                {
                    Path(root): None
                    for key, record in records(self._store, all_of_them=True)
                    if not any(name.startswith(f"{key}-") for name in self._own)
                    for root in record.every_root.values()
                }
            )
        return self._roots

    def _digests(self, path: Path) -> set[str]:
        look = (*_look(path), *_look(receipt_log.log_path(path)))
        if path not in self._known or self._known[path][0] != look:
            self._known[path] = (look, receipt.digests_of(path))
        return self._known[path][1]


def _look(path: Path) -> tuple[int, ...]:
    """How a file or directory looks; nothing for one that is missing."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = path.stat()
        return (found.st_mtime_ns, found.st_size, found.st_ino)
    return ()

"""Placed elsewhere: the files that any project of a store has placed, to be copied instead of downloaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from synapse_sync.errors import SynapseError
from synapse_sync.store import receipt
from synapse_sync.store.project_note import RECORDS
from synapse_sync.store.projects import records
from synapse_sync.store.receipt import ReceiptEntry
from synapse_sync.store.receipt_index import directory_of


class PlacedElsewhere:
    """The files of all receipts of the projects that `store` knows; they are read once, and again after a change.

    Safe to use from threads: at worst two of them read at the same time.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._read: tuple[list[Path], list[int], dict[str, list[tuple[str, ReceiptEntry]]]] | None = None

    def files(self, sha256: str) -> Iterator[Path]:
        """Yield files with these bytes that look as they did when they were placed; the caller must hash them."""
        if self._read is None or _times(self._read[0]) != self._read[1]:
            self._read = self._from_receipts()
        for place, entry in self._read[2].get(sha256, ()):
            if receipt.matches(place, entry) == "same":
                yield Path(place)

    def _from_receipts(self) -> tuple[list[Path], list[int], dict[str, list[tuple[str, ReceiptEntry]]]]:
        """The directories whose files were read, when each of them last changed, and the files by digest."""
        roots = dict.fromkeys(root for _, record in records(self._store) for root in record.every_root.values())
        folders = [self._store / RECORDS, *(Path(directory_of(root)) for root in roots)]
        times = _times(folders)  # before they are read: what changes meanwhile is read again
        found: dict[str, list[tuple[str, ReceiptEntry]]] = {}
        for root in roots:
            for path in sorted(Path(directory_of(root)).glob("receipt-*.json")):
                key = path.name.removeprefix("receipt-").removesuffix(".json")
                with contextlib.suppress(SynapseError, OSError):  # another project's receipt may be damaged
                    listed = receipt.read(Path(root), key)
                    for entry in listed.entries.values() if listed is not None else ():
                        found.setdefault(entry.sha256, []).append((f"{root}/{entry.path}", entry))
        return folders, times, found


def _times(folders: list[Path]) -> list[int]:
    """When the names in each directory last changed (nanoseconds): receipts and records are replaced whole."""
    times = []
    for folder in folders:
        try:
            times.append(os.stat(folder).st_mtime_ns)  # noqa: PTH116 - asked for each wanted file
        except OSError:
            times.append(0)
    return times

"""Folder times: the time of a directory in a tree follows from what synapse placed in it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from synapse_sync.core.link_mode import BESIDE, WITHIN, LinkMode
from synapse_sync.core.look import folder_time
from synapse_sync.errors import StorageError
from synapse_sync.store.durable import storage_error
from synapse_sync.store.looks import set_time
from synapse_sync.store.receipt import ReceiptEntry
from synapse_sync.store.receipt_index import DIRECTORY

#: The ways of placing that make a file which shares nothing with the store, in the receipt's words.
OWN_FILES = frozenset({LinkMode.COPY, LinkMode.CLONE, LinkMode.MOVE, "written", WITHIN, BESIDE})


def settle_folders(
    touched: Mapping[Path, Iterable[str]], receipts: Iterable[tuple[Path, Mapping[str, ReceiptEntry]]]
) -> list[StorageError]:
    """Give directories their times, root by root: `touched` and each of `receipts` belong to one.

    Several targets may share a root. Returns the errors of roots where that failed.
    """
    listed: dict[Path, dict[str, ReceiptEntry]] = {}
    for root, entries in receipts:
        listed.setdefault(root, {}).update(entries)
    errors: list[StorageError] = []
    for root, folders in touched.items():
        try:
            _settle(root, folders, listed.get(root, {}))
        except OSError as error:
            errors.append(storage_error(error, f"placing files in {root}"))
    return errors


def _settle(root: Path, touched: Iterable[str], entries: Mapping[str, ReceiptEntry]) -> None:
    """Give each directory that a run changed, and those above it, the time that follows from its content.

    `touched` are directories relative to the root, `entries` all that receipts list in it. A directory with
    anything else in it keeps its time: no two trees are equal there, and a user's own file must not be hidden from
    a UI. So does one with a link to the store below it. Raises `OSError` for a disk error.
    """
    times: dict[str, list[int]] = {}
    barred: set[str] = set()
    for path, entry in entries.items():
        for folder in _above(path):
            if entry.how in OWN_FILES:
                times.setdefault(folder, []).append(entry.mtime_ns)
            else:
                barred.add(folder)
    wanted = {above for folder in touched for above in (folder, *_above(folder))} & times.keys() - barred
    for folder in sorted(wanted, key=len, reverse=True):
        place = root / folder
        listing = _listing(place, folder, entries)
        if listing is not None and not place.is_symlink():
            set_time(place, folder_time(times[folder], listing), place.stat())


def folders_of(paths: Iterable[str]) -> set[str]:
    """The directories in which these paths are, relative to the root."""
    return {path.rpartition("/")[0] for path in paths}


def _above(path: str) -> Iterator[str]:
    """The directories above a path, the nearest first; the root is the empty text, which has none."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _listing(place: Path, folder: str, entries: Mapping[str, ReceiptEntry]) -> Collection[str] | None:
    """A text for each name in a directory; None if something in it is listed nowhere, or if it cannot be read."""
    found: list[str] = []
    try:
        with os.scandir(place) as items:
            for item in items:
                if item.name == DIRECTORY:
                    continue
                entry = entries.get(f"{folder}/{item.name}" if folder else item.name)
                if entry is None and not item.is_dir(follow_symlinks=False):
                    return None
                found.append(item.name if entry is None else f"{item.name}/{entry.sha256}")
    except OSError:
        return None
    return found

"""Plain receipts: those of a workspace with `reproducible = true`, equal on every machine.

They have no inode, no time but those of the lockfile, no fingerprint and no seal. A note in the store has what this
machine knows beside that: one for each state of a receipt, sealed with the user's key.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.link_mode import WITHIN
from synapse_sync.core.look import FILE_MODE, FOLDER_MODE, UNDATED, Look, whole_second
from synapse_sync.store.durable import make_dirs, where_writable, write_atomic
from synapse_sync.store.folder_times import OWN_FILES
from synapse_sync.store.looks import give_look
from synapse_sync.store.receipt import Receipt, ReceiptEntry, receipt_path
from synapse_sync.store.receipt_index import directory_of
from synapse_sync.store.receipt_log import as_json, is_sealed, log_path, mark_of, sealed
from synapse_sync.store.sample import sample_of
from synapse_sync.user.small_files import read_small

_SECOND = 1_000_000_000


def plain(known: Receipt) -> Receipt:
    """A receipt without the facts of this machine; raises nothing."""
    entries = {path: _plain_entry(entry) for path, entry in known.entries.items()}
    return replace(known, entries=entries, complete=None)


def _plain_entry(entry: ReceiptEntry) -> ReceiptEntry:
    own = entry.how in OWN_FILES
    link = entry.link if entry.how == WITHIN else None
    return replace(entry, inode=0, link=link, ctime_ns=0, mtime_ns=entry.mtime_ns if own else 0)


def looks_sampled(place: Path, entry: ReceiptEntry, found: os.stat_result) -> bool:
    """Whether a file with this stat is that of a plain entry, as a layer of an image keeps it.

    Such an entry has no inode, and layers keep whole seconds only: the sample tells files of one size apart.
    """
    return may_be_sampled(entry, found) and sample_of(place) == entry.sample


def may_be_sampled(entry: ReceiptEntry, found: os.stat_result) -> bool:
    """Whether the stat alone leaves it to the sample whether a file is that of a plain entry."""
    times = (entry.mtime_ns, whole_second(entry.mtime_ns))
    return entry.sample is not None and found.st_size == entry.size and found.st_mtime_ns in times


def remember(root: Path, known: Receipt, content: bytes, store: Path, secret: bytes) -> Path:
    """Note in the store what a plain receipt with this content does not say; raises `StorageError`, `OSError`.

    Write the note before the receipt, and call `forget_others` after it: a crash in between loses neither.
    """
    looks = {
        path: [entry.mtime_ns, entry.inode, entry.ctime_ns, entry.link] for path, entry in known.entries.items()
    }
    place = _note_path(root, known.project, content, store)
    make_dirs(place.parent)
    write_atomic(place, sealed(as_json({"looks": looks}), secret), mode=0o600)
    return place


def forget_others(note: Path) -> None:
    """Remove the notes on earlier states of the receipt that this note is about."""
    start = note.name.rpartition("-")[0]
    with contextlib.suppress(OSError):
        for path in note.parent.iterdir():
            if path != note and path.name.rpartition("-")[0] == start:
                path.unlink(missing_ok=True)


def recalled(root: Path, found: Receipt, store: Path, secret: bytes) -> Receipt | None:
    """A plain receipt with what this machine noted about it, as one that counts; None if it noted nothing.

    A log beside the receipt is not plain: then the note says nothing about its entries.
    """
    place = receipt_path(root, found.project)
    try:
        text = read_small(_note_path(root, found.project, read_small(place), store))
        if log_path(place).exists() or not is_sealed(text, secret):
            return None
        looks: Mapping[str, tuple[int, int, int, str | None]] = json.loads(text)["looks"]
        entries = {path: _with_look(entry, *looks[path]) for path, entry in found.entries.items()}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return replace(found, entries=entries, sealed=True)


def _with_look(entry: ReceiptEntry, mtime_ns: int, inode: int, ctime_ns: int, link: str | None) -> ReceiptEntry:
    return replace(entry, mtime_ns=mtime_ns, inode=inode, ctime_ns=ctime_ns, link=link)


def _note_path(root: Path, key: str, content: bytes, store: Path) -> Path:
    where = hashlib.sha256(f"{os.path.realpath(root)}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()
    return store / "receipts" / f"{where[:32]}-{mark_of(content)[:32]}.json"


def settle_state(root: Path) -> None:
    """Give synapse's own directory in a target, and all in it, one mode and one time; raises `OSError`."""
    directory = Path(directory_of(str(root)))
    if not directory.is_dir():
        return
    with where_writable():
        for path in (*directory.rglob("*"), directory):
            mode = FOLDER_MODE if path.is_dir() else FILE_MODE
            give_look(path, Look(mode, UNDATED * _SECOND))

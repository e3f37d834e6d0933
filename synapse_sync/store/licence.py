"""Licence: which entries of a receipt allow synapse to replace and remove the files that they list.

A receipt is a file in the tree, so a repository can ship one. It counts if this user's key in the store signed it.
Of any other one an entry counts if its file has the very inode and time that it says: nobody can know those before.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

from synapse_sync.core.link_mode import CLAIMED, WITHIN
from synapse_sync.core.look import is_decided
from synapse_sync.core.plan import MERGED
from synapse_sync.store import plain, receipt
from synapse_sync.store.durable import flush, make_dirs, random_name, remove, rename_new, where_writable
from synapse_sync.store.receipt import Receipt, ReceiptEntry
from synapse_sync.store.receipt_index import index_path
from synapse_sync.store.receipt_log import ReceiptLog
from synapse_sync.user.small_files import read_small

_LENGTH = 32


def read_licensed(root: Path, key: str, store: Path | None) -> Receipt | None:
    """The receipt with this key; entries that do not count are those of claimed files. Raises like `read`.

    `store` is the root of the store. A claimed file is still compared by its stat, but is not replaced or removed.
    """
    found = receipt.read(root, key, seal_with=_key(store))
    if found is None or found.sealed:
        return found
    if store is not None and (secret := _key(store)) is not None:
        recalled = plain.recalled(root, found, store, secret)
        if recalled is not None:
            return recalled
    entries = {path: _judged(root, entry) for path, entry in found.entries.items()}
    return replace(found, entries=entries)


def write_sealed(root: Path, known: Receipt, store: Path | None, *, is_plain: bool = False) -> ReceiptLog:
    """Write a receipt, signed if this user can have a key in the store; raises `StorageError`. Returns its log.

    One that `is_plain` says nothing of this machine; the store remembers that, signed likewise.
    """
    secret = _key(store, make=True)
    if not is_plain:
        return receipt.write(root, known, seal_with=secret)
    bare, note = plain.plain(known), None
    if store is not None and secret is not None:
        with where_writable():
            note = plain.remember(root, known, receipt.content_of(bare), store, secret)
    log = receipt.write(root, bare)
    with contextlib.suppress(OSError):
        remove(Path(index_path(str(log.receipt))), missing_ok=True)
    if note is not None:
        plain.forget_others(note)
    return log


def log_sealed(
    log: ReceiptLog, entries: Mapping[str, ReceiptEntry], changed: Iterable[str], store: Path | None
) -> None:
    """Note what `entries` have at the `changed` paths, signed likewise; raises `StorageError`."""
    receipt.log_changes(log, entries, changed, seal_with=_key(store))


def is_unforeseen(place: str, entry: ReceiptEntry) -> bool:
    """Whether a file looks as its entry says, by facts that nobody can know before it is placed.

    A time that the lockfile decides is known to everybody, but that of the last change is not. Raises `OSError`.
    """
    if receipt.matches(place, entry) != "same":
        return False
    return not is_decided(entry.mtime_ns, entry.sha256) or Path(place).stat().st_ctime_ns == entry.ctime_ns


def _judged(root: Path, entry: ReceiptEntry) -> ReceiptEntry:
    if _counts(root / entry.path, entry):
        return entry
    # A companion is merged into from now on, like one that the user wrote.
    return replace(entry, how=CLAIMED if entry.made is None else MERGED)


def _counts(place: Path, entry: ReceiptEntry) -> bool:
    try:
        state = receipt.matches(str(place), entry)
        if state != "changed":
            # Nor for a missing one: another file may appear there, and be taken for it.
            return state == "same" and is_unforeseen(str(place), entry)
        # A link to a blob has no bytes: where a new store lacks the blob, the link is placed again.
        blob = entry.link is not None and (entry.how == WITHIN or Path(entry.link).name == entry.sha256)
        return blob and str(place.readlink()) == entry.link
    except OSError:
        return False


def _key(store: Path | None, *, make: bool = False) -> bytes | None:
    """This user's key in the store, made if `make` is set; None where it cannot be had: then nothing is signed."""
    if store is None:
        return None
    user = os.geteuid() if hasattr(os, "geteuid") else "me"
    path = store / f"receipt-key-{user}"
    with contextlib.suppress(OSError):
        if (known := _read(path)) is not None or not make or not store.is_dir():
            return known
        temporary = store / "tmp" / random_name()  # where a kill may leave it
        make_dirs(temporary.parent, durable=False)
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(handle, "wb", buffering=0) as file:
                file.write(os.urandom(_LENGTH))
                flush(handle)
            # Never over another one: what it signed would no longer count.
            rename_new(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return _read(path)
    return None


def _read(path: Path) -> bytes | None:
    """The key at a path; None if it is missing, or is not a file that this user alone made."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not S_ISREG(found.st_mode) or (hasattr(os, "geteuid") and found.st_uid != os.geteuid()):
        return None
    key = read_small(path, limit=_LENGTH)
    return key if len(key) == _LENGTH else None

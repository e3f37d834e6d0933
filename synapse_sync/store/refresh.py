"""Refresh: a receipt with the stats of now, once a sync has completed a state."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.link_mode import ADOPTED, CLAIMED
from synapse_sync.core.look import Looks
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Key, Observed, State
from synapse_sync.errors import raise_all
from synapse_sync.store import receipt
from synapse_sync.store.durable import where_writable
from synapse_sync.store.folder_times import OWN_FILES, folders_of, settle_folders
from synapse_sync.store.licence import read_licensed, write_sealed
from synapse_sync.store.looks import give_look, look_beside, look_of_blob, settle_folder_modes
from synapse_sync.store.ownership import Tree
from synapse_sync.store.plain import may_be_sampled, settle_state
from synapse_sync.store.receipt import ReceiptEntry


def refresh(tree: Tree, observed: Mapping[Key, Observed], complete: str | None, looks: Looks) -> int:
    """Write a receipt with the stats of now, and with the state that it completes; returns how many files it lists.

    `complete` is the fingerprint of that state, None if the sync left something to do. In a reproducible workspace,
    files of earlier versions get the modes and times of `looks`.
    """
    complete = None if tree.reproducible else complete
    current = read_licensed(tree.root, tree.receipt.project, tree.store) or tree.receipt
    # What the survey confirmed of claimed files is in the tree's own entries.
    confirmed = {path: entry for path, entry in tree.receipt.entries.items() if entry.how == ADOPTED}
    entries = {p: confirmed.get(p, e) if e.how == CLAIMED else e for p, e in current.entries.items()}
    stale = current.complete != complete
    root = str(tree.root)
    for path, entry in tuple(entries.items()):
        found = observed.get((tree.target.name, path))
        if found is None or found.state is not State.PLACED:
            continue
        state = receipt.matches(f"{root}/{path}", entry)
        if state == "same" and not tree.reproducible:  # nearly always: a text takes a tenth of the time of a path
            continue
        place = SafePath(path).under(tree.root)
        if tree.reproducible and state == "same" and (settled := _settled(place, entry, looks)) != entry:
            entries[path] = settled
            stale = True
        # A file that the survey sampled is not sampled again: its entry stays as it is.
        elif state == "changed" and not (place.exists() and may_be_sampled(entry, place.stat())):
            mode = os.lstat(place).st_mode
            if stat.S_ISREG(mode) or place.exists():
                fresh = receipt.note(
                    place, path=path, sha256=entry.sha256, how=entry.how, model=entry.model, made=entry.made,
                    sampled=tree.reproducible,
                )  # fmt: skip
                # Another inode alone (a copied volume) costs no hash, so it is not noted: a receipt would vouch
                # for bytes that nobody has read, and they could be removed as synapse's own.
                if replace(fresh, inode=entry.inode, ctime_ns=entry.ctime_ns) != entry:
                    entries[path] = fresh
                    stale = True
    if stale:
        with where_writable():  # it only saves the next sync some work
            known = replace(current, entries=entries, complete=complete)
            write_sealed(tree.root, known, tree.store, is_plain=tree.reproducible)
            if tree.reproducible:
                raise_all(settle_folders({tree.root: folders_of(entries)}, [(tree.root, entries)]))
    if tree.reproducible:
        with where_writable():
            settle_folder_modes(tree.root, folders_of(path for path, e in entries.items() if e.how in OWN_FILES))
        settle_state(tree.root)
    return len(entries)


def _settled(place: Path, entry: ReceiptEntry, looks: Looks) -> ReceiptEntry:
    """The entry of a file that has its look, and a sample; the file gets what it lacks of that."""
    look = looks.of_file(entry.model, entry.sha256)
    if entry.how not in OWN_FILES or (entry.mtime_ns == look.mtime_ns and entry.sample is not None):
        return entry
    with where_writable():
        look = look_beside(place.parent, look_of_blob(look, place, lambda: False))
        give_look(place, look)
    return receipt.note(
        place, path=entry.path, sha256=entry.sha256, how=entry.how, model=entry.model, made=entry.made, sampled=True
    )

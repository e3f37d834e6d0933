"""Refresh: a receipt with the stats of now, once a sync has completed a state."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace

from synapse_sync.core.link_mode import ADOPTED, CLAIMED
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Key, Observed, State
from synapse_sync.store import receipt
from synapse_sync.store.durable import where_writable
from synapse_sync.store.licence import read_licensed, write_sealed
from synapse_sync.store.ownership import Tree


def refresh(tree: Tree, observed: Mapping[Key, Observed], complete: str | None) -> int:
    """Write a receipt with the stats of now, and with the state that it completes; returns how many files it lists.

    `complete` is the fingerprint of that state, None if the sync left something to do.
    """
    current = read_licensed(tree.root, tree.receipt.project, tree.store) or tree.receipt
    # What the survey confirmed of claimed files is in the tree's own entries.
    confirmed = {path: entry for path, entry in tree.receipt.entries.items() if entry.how == ADOPTED}
    entries = {p: confirmed.get(p, e) if e.how == CLAIMED else e for p, e in current.entries.items()}
    stale = current.complete != complete
    for path, entry in tuple(entries.items()):
        found = observed.get((tree.target.name, path))
        place = SafePath(path).under(tree.root)
        if found is not None and found.state is State.PLACED and receipt.matches(str(place), entry) == "changed":
            mode = os.lstat(place).st_mode
            if stat.S_ISREG(mode) or place.exists():
                fresh = receipt.note(
                    place, path=path, sha256=entry.sha256, how=entry.how, model=entry.model, made=entry.made
                )
                # Another inode alone (a copied volume) costs no hash, so it is not noted: a receipt would vouch
                # for bytes that nobody has read, and they could be removed as synapse's own.
                if replace(fresh, inode=entry.inode) != entry:
                    entries[path] = fresh
                    stale = True
    if stale:
        with where_writable():  # it only saves the next sync some work
            write_sealed(tree.root, replace(current, entries=entries, complete=complete), tree.store)
    return len(entries)

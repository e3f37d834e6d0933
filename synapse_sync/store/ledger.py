"""The ledger: the receipts of all targets as one run changes them, and when they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from synapse_sync.errors import SynapseError
from synapse_sync.store.licence import log_sealed, write_sealed
from synapse_sync.store.ownership import Tree
from synapse_sync.store.receipt import ReceiptEntry
from synapse_sync.store.receipt_log import ReceiptLog


class Ledger:
    """The entries of each target's receipt as they will be written.

    `trees` are the targets by name, `store` is the root of the store. The first changes are saved in a whole
    receipt, later ones as lines of its log: the cost of a change does not grow with the receipt.
    """

    def __init__(self, trees: Mapping[str, Tree], store: Path) -> None:
        self._trees = trees
        self._store = store
        self._entries: dict[str, dict[str, ReceiptEntry]] = {}
        self._changed: dict[str, set[str]] = {}
        self._logs: dict[str, ReceiptLog] = {}
        self._links: dict[str, set[tuple[Path, str]]] | None = None

    def entries(self, target: str) -> Mapping[str, ReceiptEntry]:
        """The entries of a target by path."""
        return self._mine(target)

    def put(self, target: str, entry: ReceiptEntry) -> None:
        """List a file, or list it anew."""
        self.drop(target, entry.path)
        self._mine(target)[entry.path] = entry
        self._link(target, entry)

    def drop(self, target: str, path: str) -> None:
        """List a file no longer; one that is not listed is passed over."""
        entry = self._mine(target).pop(path, None)
        self._changed.setdefault(target, set()).add(path)
        if entry is not None and self._links is not None:
            self._links.get(entry.sha256, set()).discard((self._trees[target].root, path))

    def links_to(self, sha256: str) -> set[tuple[Path, str]]:
        """The symbolic links to a blob that are listed, each as its root and path."""
        if self._links is None:
            self._links = {}
            for target in self._trees:
                for entry in self._mine(target).values():
                    self._link(target, entry)
        return self._links.get(sha256, set())

    def save(self) -> list[SynapseError]:
        """Save what changed, so that a crash cannot lose it; returns the errors of targets where that failed."""
        return self._each(whole=False)

    def write(self) -> list[SynapseError]:
        """Write the receipt of every target that changed; returns the errors where that failed."""
        return self._each(whole=True)

    def _each(self, *, whole: bool) -> list[SynapseError]:
        errors: list[SynapseError] = []
        for target in self._changed:
            try:
                self._save(target, whole=whole)
            except SynapseError as error:
                errors.append(error)
        return errors

    def _save(self, target: str, *, whole: bool) -> None:
        tree, entries, changed = self._trees[target], self._mine(target), self._changed[target]
        log = self._logs.get(target)
        if log is None and entries == tree.receipt.entries:
            return
        if log is not None and not changed and not (whole and log.written):
            return
        if log is None or whole or log.is_long or tree.reproducible:  # a log would say when it was written
            # `complete` is dropped with the first change: the state that it names is no longer there.
            known = replace(tree.receipt, entries=entries, complete=None)
            self._logs[target] = write_sealed(tree.root, known, self._store, is_plain=tree.reproducible)
        else:
            log_sealed(log, entries, changed, self._store)
        changed.clear()

    def _mine(self, target: str) -> dict[str, ReceiptEntry]:
        if target not in self._entries:
            self._entries[target] = dict(self._trees[target].receipt.entries)
        return self._entries[target]

    def _link(self, target: str, entry: ReceiptEntry) -> None:
        if self._links is not None and entry.how == "symlink":
            self._links.setdefault(entry.sha256, set()).add((self._trees[target].root, entry.path))

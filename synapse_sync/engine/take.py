"""Take: hand adopted files to synapse, so that it replaces and removes them like those that it placed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from synapse_sync.core.link_mode import ADOPTED, TAKEN
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import entries_in, trees_in
from synapse_sync.engine.tools import Tools
from synapse_sync.project import Project
from synapse_sync.store.licence import write_sealed
from synapse_sync.store.ownership import hold_roots, take_over


def take(project: Project, names: Collection[str], tools: Tools) -> tuple[str, ...]:
    """Note in the receipts that the adopted files of these models are synapse's from now on; returns their paths.

    `names` are names of models in the manifest. Raises `InputError` for an unknown one, `StorageError`.
    """
    scope = Scope(only=tuple(names))
    models = {entry.name for entry in entries_in(project.manifest, scope)}
    with project.hold(tools.reporter.note):
        trees = trees_in(project, Scope(), tools.link_mode)
        with hold_roots(trees, project.store, tools.reporter.note):
            # Read once more: another process may have written the receipts while this one waited.
            trees = trees_in(project, Scope(), tools.link_mode)
            take_over(trees.values())
            taken: list[str] = []
            for tree in trees.values():
                found = {
                    path: replace(entry, how=TAKEN)
                    for path, entry in tree.receipt.entries.items()
                    if entry.how == ADOPTED and entry.model in models
                }
                if found:
                    known = replace(tree.receipt, entries={**tree.receipt.entries, **found})
                    write_sealed(tree.root, known, project.store)
                    taken += [str(tree.root / path) for path in found]
    return tuple(sorted(taken))

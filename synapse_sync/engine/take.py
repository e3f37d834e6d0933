"""Take: hand adopted files to synapse, so that it replaces and removes them like those that it placed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from synapse_sync.core.link_mode import ADOPTED, CLAIMED, TAKEN
from synapse_sync.engine.part import entries_in
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import trees_in
from synapse_sync.engine.tools import Tools
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import Project
from synapse_sync.store.licence import write_sealed
from synapse_sync.store.ownership import hold_roots, take_over


def take(project: Project, names: Collection[str], tools: Tools) -> tuple[str, ...]:
    """Note in the receipts that the adopted files of these models are synapse's from now on; returns their paths.

    Of the files that are only claimed, those at the paths that the models want are handed over, too. `names` are
    names of models in the manifest. Raises `InputError` for an unknown one, `StorageError`.
    """
    scope = Scope(only=tuple(names))
    entries = entries_in(project.manifest, scope)
    models = {entry.name for entry in entries}
    locked = {model.name: model for model in project.lockfile.models}
    wanted = {placement.key for placement in arrange(entries, locked, project.manifest.targets).placements}
    with project.hold(tools.reporter.note):
        trees = trees_in(project, Scope(), tools.link_mode)
        with hold_roots(trees, project.store, tools.reporter.note):
            # Read once more: another process may have written the receipts while this one waited.
            trees = trees_in(project, Scope(), tools.link_mode)
            take_over(trees.values())
            taken: list[str] = []
            for name, tree in trees.items():
                found = {
                    path: replace(entry, how=TAKEN)
                    for path, entry in tree.receipt.entries.items()
                    if entry.model in models
                    and (entry.how == ADOPTED or (entry.how == CLAIMED and (name, path) in wanted))
                }
                if found:
                    known = replace(tree.receipt, entries={**tree.receipt.entries, **found})
                    write_sealed(tree.root, known, project.store, is_plain=tree.reproducible)
                    taken += [str(tree.root / path) for path in found]
    return tuple(sorted(taken))

"""Remember: the store's record of a project, and the state that a sync completed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from synapse_sync.engine.survey import Survey
from synapse_sync.project import Project
from synapse_sync.store import receipt
from synapse_sync.store.ownership import Tree, roots_of
from synapse_sync.store.projects import ProjectRecord, read_record, write_record
from synapse_sync.store.tree import refresh


def note_use(project: Project, trees: Mapping[str, Tree]) -> None:
    """Note in the store that this project uses it, and where `trees` are; raises `StorageError`."""
    known = read_record(project.store, project.key)
    before = known.every_root if known is not None else {}
    record = ProjectRecord(project=str(project.directory), roots={**before, **roots_of(trees.values())})
    if record != known:
        write_record(project.store, project.key, record)


def note_completion(project: Project, survey: Survey, state: str | None) -> None:
    """Note that the trees are in this state, so that the next sync need only compare file stats.

    `state` is a fingerprint, or None if something is left to do. Raises `StorageError`.
    """
    declared = {target.name for target in project.manifest.targets}
    kept: dict[str, Tree] = {}
    for name, tree in survey.trees.items():
        if not tree.root.is_dir():
            continue
        if refresh(tree, survey.observed, state) or name in declared:
            kept[name] = tree
        else:
            receipt.discard(tree.root, tree.receipt.project)
    if state is None:
        note_use(project, kept)
        return
    known = read_record(project.store, project.key)
    before = known.every_root if known is not None else {}
    roots = roots_of(kept.values())
    # The root of a former target may be on a drive that is not mounted: its files are pruned once it is back.
    absent = {name: root for name, root in before.items() if name not in roots and not Path(root).is_dir()}
    record = ProjectRecord(project=str(project.directory), roots=roots, complete=state, absent=absent)
    if record != known:
        write_record(project.store, project.key, record)

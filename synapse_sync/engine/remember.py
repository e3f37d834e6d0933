"""Remember: the store's record of a project, and the state that a sync completed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.look import Looks
from synapse_sync.core.plan import Verb
from synapse_sync.engine.survey import Survey
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import StorageError
from synapse_sync.project import Project
from synapse_sync.store import receipt
from synapse_sync.store.durable import is_unwritable, where_writable
from synapse_sync.store.licence import read_licensed
from synapse_sync.store.locks import hold, lock_path
from synapse_sync.store.ownership import Tree, remembered_roots
from synapse_sync.store.projects import (
    COLLECTION,
    ProjectRecord,
    located,
    mounts_of,
    read_record,
    write_record,
)
from synapse_sync.store.refresh import refresh


def placed_roots(project: Project) -> dict[str, str]:
    """The roots in which earlier syncs of a project placed files, with the mount points of their drives, or ""."""
    record = read_record(project.store, project.key)
    return {} if record is None else {root: record.mounts.get(root, "") for root in record.placed}


def note_use(project: Project, survey: Survey, others: Iterable[Path] = ()) -> list[str]:
    """Note in the store that this project uses it, and where its trees are; returns warnings.

    `others` are the roots of further stores: each is noted in, too, since it may be the main one of another user.
    A store that this user may only read cannot note it: it serves all the same. Raises `StorageError` otherwise.
    """
    trees = survey.trees
    known = read_record(project.store, project.key)
    before = known.every_root if known is not None else {}
    placed = known.placed if known is not None else frozenset()
    placed |= {str(tree.root) for tree in trees.values() if tree.receipt.entries}
    record = ProjectRecord(
        project=str(project.directory),
        roots=remembered_roots(before, trees.values()),
        placed=placed,
        mounts=mounts_of(placed, known.mounts if known is not None else {}),
        # A sync with nothing to do completes the same state again.
        complete=known.complete if known is not None and survey.is_complete else None,
        links=known.links if known is not None else {},
    )
    try:
        if (record := _noted(record, known, survey)) != known:
            write_record(project.store, project.key, record)
        _note_in_others(others, project.key, record)
    except StorageError as error:
        if not is_unwritable(error):
            raise
        if survey.plan.of(Verb.PLACE, Verb.REPLACE):
            return [
                f"{project.store} cannot be written to, so the store does not know this project: "
                "its owner's `synapse store gc` may remove files that this project links to"
            ]
    return []


def note_lock(project: Project, tools: Tools) -> None:
    """Note in the store that this project uses it, from its first lock on; a later sync notes the rest.

    Without that, a collection would drop what the lock brought. Raises `StorageError`.
    """
    if not project.lockfile.models or read_record(project.store, project.key) is not None:
        return
    record = located(ProjectRecord(project=str(project.directory), roots={}, links={}))
    collection = lock_path(project.store, COLLECTION)
    with where_writable(), hold(collection, f"the store {project.store}", tools.reporter.note, optional=True):
        write_record(project.store, project.key, record)
        _note_in_others((member.root for member in tools.store.members[1:]), project.key, record)


def _note_in_others(others: Iterable[Path], key: str, record: ProjectRecord) -> None:
    """Note a project in further stores: a collection there keeps its blobs. The main one knows its last state."""
    shared = replace(record, complete=None)
    for root in others:
        if read_record(root, key) != shared:
            with where_writable():
                write_record(root, key, shared)


def note_completion(project: Project, survey: Survey, state: str | None, looks: Looks) -> None:
    """Note that the trees are in this state, so that the next sync need only compare file stats.

    `state` is a fingerprint, or None if something is left to do. `looks` are the modes and times of the locked
    files. Raises `StorageError`.
    """
    declared = {target.name for target in project.manifest.targets}
    known = read_record(project.store, project.key)
    before = remembered_roots(known.every_root if known is not None else {}, survey.trees.values())
    kept: list[Tree] = []
    placed = set(known.placed if known is not None else ())
    for name, tree in survey.trees.items():
        if not tree.root.is_dir():
            continue
        files = refresh(tree, survey.observed, state, looks)
        placed = placed | {str(tree.root)} if files else placed - {str(tree.root)}
        if files or name in declared:
            kept.append(tree)
        else:
            with where_writable():
                receipt.discard(tree.root, tree.receipt.project)
    roots = remembered_roots({}, kept)
    absent: dict[str, str] = {}
    if state is None:
        roots = {**before, **roots}
    else:
        # The root of a former target may be on a drive that is not mounted: its files are pruned once it is back.
        absent = {name: root for name, root in before.items() if name not in roots and not Path(root).is_dir()}
    record = ProjectRecord(
        project=str(project.directory),
        roots=roots,
        complete=state,
        absent=absent,
        placed=frozenset(placed),
        mounts=mounts_of(placed, known.mounts if known is not None else {}),
        variables={
            t.variable: os.environ.get(t.variable) for t in project.manifest.targets if t.variable is not None
        },
        links=known.links if known is not None else {},
    )
    _write_changed(project, known, _noted(record, known, survey))


def note_placed(project: Project, survey: Survey) -> None:
    """Note the roots in which a sync of a part placed files: a drive that is missing later must be noticed.

    Raises `StorageError`.
    """
    known = read_record(project.store, project.key)
    if known is None:  # the store can only be read
        return
    placed = known.placed
    for tree in survey.trees.values():
        now = read_licensed(tree.root, tree.receipt.project, tree.store) if tree.root.is_dir() else None
        if now is not None and now.entries:
            placed |= {str(tree.root)}
    _write_changed(project, known, replace(known, placed=placed, mounts=mounts_of(placed, known.mounts)))


def note_links(project: Project, survey: Survey) -> None:
    """Note the directory links that this sync followed and reported, and forget those that are gone.

    Raises `StorageError`.
    """
    known = read_record(project.store, project.key)
    if known is None:  # the store can only be read
        return
    still = {link: to for link, to in (known.links or {}).items() if Path(link).is_symlink()}
    _write_changed(project, known, replace(known, links={**still, **survey.links}))


def _write_changed(project: Project, known: ProjectRecord | None, record: ProjectRecord) -> None:
    """Write a record that differs from the known one, where the store can be written to; raises `StorageError`."""
    if record != known:
        with where_writable():
            write_record(project.store, project.key, record)


def _noted(record: ProjectRecord, known: ProjectRecord | None, survey: Survey) -> ProjectRecord:
    """The record with the place of its project, which alone is no reason to write: a copied volume is as it was."""
    if known is not None and known.host and survey.is_complete:
        same = replace(record, identity=known.identity, above=known.above, host=known.host)
        if same == known:
            return known
    return located(record)

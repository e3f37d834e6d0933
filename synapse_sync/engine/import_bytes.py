"""Import, bytes: bring files into the store, and put a link to each in its place at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from synapse_sync.core.link_mode import TAKEN
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Action, Key, Observed, Plan, State, Verb
from synapse_sync.core.size_text import size_text
from synapse_sync.engine.find_files import FoundFile
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import trees_in
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import Conflict, InputError, StorageError
from synapse_sync.layouts import ui_folders
from synapse_sync.project import Project
from synapse_sync.store.changed import check_unchanged
from synapse_sync.store.durable import RESERVE
from synapse_sync.store.hashing import hash_file
from synapse_sync.store.ownership import Tree, hold_roots
from synapse_sync.store.reach import way_to
from synapse_sync.store.several import device_of, nearest_directory
from synapse_sync.store.tree import TreeWriter


def check_volumes(files: Sequence[FoundFile], tools: Tools, agreed: Callable[[str], bool]) -> None:
    """Check that files may move into the stores: from a volume without one, all their bytes are copied.

    `agreed` is asked then. Raises `InputError` if the answer is no, and `StorageError` if the volume of the store
    has not enough space for them.
    """
    away = {file.sha256: file for file in files if is_away(file, tools) and not tools.store.has(file.sha256)}
    if not away:
        return
    first, *others = (file.place for file in away.values())
    needed = sum(file.size for file in away.values())
    named = f"{first} and {len(others)} more files" if others else str(first)
    what = (
        f"{named} ({size_text(needed)}) {'are' if others else 'is'} on another volume than the store "
        f"({tools.store.root})"
    )
    free = shutil.disk_usage(nearest_directory(tools.store.root)).free
    if needed + RESERVE > free:
        raise StorageError(
            f"{what}, which has {size_text(free)} free; {size_text(RESERVE)} must stay free",
            hint="free some space; `synapse store add DIR` makes a directory on their volume a store, too; or "
            "import them in place",
        )
    if not agreed(f"{what}. Copy them there, and put links in their places?"):
        raise InputError(
            what,
            hint="`--yes` copies them there, and puts links in their places; `synapse store add DIR` makes a "
            "directory on their volume a store, too; or import them in place",
        )


def check_blobs(files: Sequence[FoundFile], tools: Tools) -> None:
    """Check that no changed copy of these files is in the store, and would have to go; raises `Conflict`."""
    shown = {file.sha256: str(file.place) for file in files if not file.place.is_symlink()}
    check_unchanged(tools.store, shown, "nothing was imported")


def is_away(file: FoundFile, tools: Tools) -> bool:
    """Whether a file's bytes are on a volume without a store; a link has none."""
    there = device_of(tools.store.beside(file.place.parent).root)
    return not file.place.is_symlink() and file.place.stat().st_dev != there


def bring_in(files: Sequence[FoundFile], project: Project, tools: Tools, *, move: bool) -> int:
    """Bring the bytes of listed files into the store; returns of how many.

    With `move`, each file is linked back into its place before the next one is touched. A file that shares its
    bytes with the store already, by a link of either kind, stays as it is. Raises `Conflict`, `StorageError`.
    """
    wanted = [file for file in files if not _is_in_store(file, tools, move=move)]
    if move:
        _move_all(wanted, project, tools)
        return len(wanted)
    for file in wanted:
        _note(file, tools)
        tools.store.import_file(file.place, sha256=file.sha256)
    return len(wanted)


def _note(file: FoundFile, tools: Tools) -> None:
    tools.reporter.note(f"taking {file.path} into the store")


def _is_in_store(file: FoundFile, tools: Tools, *, move: bool) -> bool:
    if file.place.is_symlink():
        return True
    return tools.store.has(file.sha256) and (not move or file.place.samefile(tools.store.path(file.sha256)))


def _move_all(files: Sequence[FoundFile], project: Project, tools: Tools) -> None:
    trees = trees_in(project, Scope(), tools.link_mode)
    with hold_roots(trees, project.store, tools.reporter.note):
        trees = trees_in(project, Scope(), tools.link_mode)  # as they are once this process has the lock
        observed = {(file.target, file.path.text): _observed(file, trees[file.target]) for file in files}
        actions = [_action(file, trees[file.target], observed) for file in files]
        writer = TreeWriter(
            Plan(actions=tuple(actions)),
            trees,
            observed,
            store=tools.store,
            command="import",
            folders=ui_folders(),
            looks=project.looks(tools.latest),
        )
        try:
            for file, action in zip(files, actions, strict=True):
                _note(file, tools)
                # The store has the bytes of another copy: this one goes only if its own are the same, not its size.
                if tools.store.has(file.sha256) and hash_file(file.place) != file.sha256:
                    raise Conflict(f"{file.place} has other bytes than when it was looked at; left as it is")
                writer.carry_out(action)
                writer.save_sometimes()
        finally:
            writer.write_receipts()


def _observed(file: FoundFile, tree: Tree) -> Observed:
    entry = tree.entry(file.path.text)
    return Observed(
        state=State.PLACED,
        sha256=file.sha256,
        size=file.size,
        how=TAKEN,
        model=None if entry is None else entry.model,
        real=way_to(tree.root, SafePath(file.path.text), tree.barred).real,
    )


def _action(file: FoundFile, tree: Tree, observed: dict[Key, Observed]) -> Action:
    return Action(
        verb=Verb.REPLACE,
        model=observed[file.target, file.path.text].model or "",
        sha256=file.sha256,
        size=file.size,
        target=file.target,
        path=file.path.text,
        link_mode=tree.target.link_mode,
        reason="its bytes moved into the store",
    )

"""Aside: files that are in the way are renamed to a name that says what happened, and never deleted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Action, Key, Observed, Plan, State, Verb
from synapse_sync.errors import Conflict
from synapse_sync.store import journal, links
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import remove
from synapse_sync.store.ownership import Tree
from synapse_sync.store.reach import walk_again


def set_aside(place: Path) -> Path:
    """Rename a file to a name that says what happened, never over another one; returns the new path."""
    for number in range(1, 10_000):
        aside = place.with_name(f"{place.name}.set-aside-{number}")
        if not aside.exists() and not aside.is_symlink():
            place.rename(aside)
            return aside
    raise Conflict(f"{place} cannot be moved aside: too many files were already")


def clear_bad(
    tree: Tree, path: SafePath, real: str | None, *, sha256: str, keep: bool, command: str
) -> Path | None:
    """Free a path whose content is not that of `sha256`, with a line in the journal.

    `real` is where its directory was when it was observed; raises `Conflict` if that has changed. With
    `keep` the file moves aside, and its new path is returned. Without it the name is removed: its bytes must be in
    the store's quarantine.
    """
    place = walk_again(tree.root, path, real, tree.barred)
    why = "bad content, moved aside" if keep else "bad content, kept in the store's quarantine"
    # The journal comes first: a line without its act is harmless, an act without its line is not.
    _journal(tree, path, sha256, why, command)
    if keep:
        return set_aside(place)
    remove(place, missing_ok=True)
    return None


def give_back(
    tree: Tree,
    path: SafePath,
    real: str | None,
    aside: Path,
    *,
    sha256: str,
    why: str,
    command: str,
    mode: LinkMode = LinkMode.MOVE,
) -> None:
    """Replace a link to a blob by the bytes themselves, which are at `aside` in the store.

    `sha256` is the digest that they should have had, `why` is for the journal, `mode` copies or moves. `real` as in
    `clear_bad`.
    """
    place = walk_again(tree.root, path, real, tree.barred)
    _journal(tree, path, sha256, why, command)
    links.place(aside, place, mode, replace=True)


def keep_changed(
    plan: Plan, trees: Mapping[str, Tree], observed: Mapping[Key, Observed], *, store: BlobStore, command: str
) -> list[str]:
    """Set aside the changed blobs in whose place this plan brings the right bytes; returns a line for each.

    A link to such a blob becomes a file: somebody changed the blob through it, so the bytes are theirs, and stay at
    its path. Raises `Conflict` and `StorageError`.
    """
    brought = plan.of(Verb.FETCH, Verb.SALVAGE)
    outer = {a.artifact.archive.sha256: a for a in brought if a.artifact is not None and a.artifact.archive}
    coming = {**outer, **{action.sha256: action for action in brought}}
    changed = [sha256 for sha256 in coming if store.is_changed(sha256)]
    lines = []
    for sha256 in changed:
        edits = [
            action
            for action in plan.of(Verb.CONFLICT, Verb.REPLACE)
            if action.sha256 == sha256 and _is_edit(action, trees[action.target], observed)
        ]
        alone = store.path(sha256) if len(edits) == 1 else None  # moved in one step: it is always here or there
        aside = alone or store.quarantine(sha256, "changed inside the store")
        if aside is None:
            continue
        for number, action in enumerate(edits, start=1):
            mode = LinkMode.MOVE if number == len(edits) else LinkMode.COPY
            real, path = observed[(action.target, action.path)].real, SafePath(action.path)
            why = "changed through its link: a file of its own from now on"
            give_back(trees[action.target], path, real, aside, sha256=sha256, why=why, command=command, mode=mode)
        if not edits:
            lines.append(f"`{coming[sha256].model}`: the store's copy was changed by somebody; it is now {aside}")
    return lines


def _is_edit(action: Action, tree: Tree, observed: Mapping[Key, Observed]) -> bool:
    """Whether a path is still the link that synapse placed, and leads to other bytes than it did."""
    found, place = observed[(action.target, action.path)], SafePath(action.path).under(tree.root)
    if found.state is not State.ALTERED or found.link is None or not place.is_symlink():
        return False
    return str(place.readlink()) == found.link and place.exists()


def _journal(tree: Tree, path: SafePath, sha256: str, why: str, command: str) -> None:
    journal.append(
        tree.root, verb="repair", path=path.text, sha256=sha256, why=why, command=command,
        dated=not tree.reproducible,
    )  # fmt: skip

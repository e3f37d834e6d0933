"""Aside: files that are in the way are renamed to a name that says what happened, and never deleted."""

from __future__ import annotations

from pathlib import Path

from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.names import SafePath
from synapse_sync.errors import Conflict
from synapse_sync.store import journal, links
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


def give_back(tree: Tree, path: SafePath, real: str | None, aside: Path, *, sha256: str, command: str) -> None:
    """Replace a link to a blob by the bytes themselves, which are at `aside` in the store's quarantine.

    `sha256` is the digest that they should have had. `real` as in `clear_bad`.
    """
    place = walk_again(tree.root, path, real, tree.barred)
    why = "bad content of its own source, moved back out of the store"
    _journal(tree, path, sha256, why, command)
    links.place(aside, place, LinkMode.MOVE, replace=True)


def _journal(tree: Tree, path: SafePath, sha256: str, why: str, command: str) -> None:
    journal.append(
        tree.root, verb="repair", path=path.text, sha256=sha256, why=why, command=command,
        dated=not tree.reproducible,
    )  # fmt: skip

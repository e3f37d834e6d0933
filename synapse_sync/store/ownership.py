"""Trees: the targets as they are on this machine, each with its directory and our receipt there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synapse_sync.core.companion import Companion
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.plan import Placement
from synapse_sync.store import receipt
from synapse_sync.store.receipt import Receipt, ReceiptEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A target on this machine: its directory, our receipt there, and what other receipts there list."""

    target: Target
    root: Path
    receipt: Receipt
    others: frozenset[str] = frozenset()

    def entry(self, path: str) -> ReceiptEntry | None:
        """What our receipt says about a path."""
        return self.receipt.entries.get(path)


def open_trees(
    targets: Iterable[Target], project: Path, key: str, *, link_mode: LinkMode | None, default_mode: LinkMode
) -> dict[str, Tree]:
    """The trees of these targets by name. `link_mode` overrides theirs, `default_mode` stands in for `auto`."""
    trees: dict[str, Tree] = {}
    targets = tuple(targets)
    together = [f"{key}-{target.name}" for target in targets]
    for target in targets:
        mode = link_mode or target.link_mode
        root = root_of(target.root, project)
        own = f"{key}-{target.name}"
        trees[target.name] = Tree(
            target=replace(target, link_mode=default_mode if mode is LinkMode.AUTO else mode),
            root=root,
            receipt=receipt.read(root, own) or Receipt(project=own, target=target.name),
            others=frozenset(receipt.others(root, *together)),
        )
    return trees


def former_trees(roots: Mapping[str, str], key: str, trees: Mapping[str, Tree]) -> dict[str, Tree]:
    """Targets that the manifest had at an earlier sync (`roots`): nothing is wanted there any more."""
    former: dict[str, Tree] = {}
    for name, text in roots.items():
        root = Path(text)
        own = f"{key}-{name}"
        if name in trees or not root.is_dir() or (known := receipt.read(root, own)) is None:
            continue
        together = [own, *(tree.receipt.project for tree in trees.values())]
        others = frozenset(receipt.others(root, *together))
        former[name] = Tree(target=Target(name=name, root=text), root=root, receipt=known, others=others)
    return former


def with_neighbours(trees: Mapping[str, Tree], wanted: Sequence[Placement | Companion]) -> dict[str, Tree]:
    """Trees that know what the others want below the same root: it is not theirs to take away.

    What the others only *have* does not count, or of two targets that drop a file neither would remove it.
    """
    found: dict[str, Tree] = {}
    for name, tree in trees.items():
        near = {other for other, its in trees.items() if other != name and _overlap(tree.root, its.root)}
        places = (each.path.under(trees[each.target].root) for each in wanted if each.target in near)
        theirs = {place.relative_to(tree.root).as_posix() for place in places if place.is_relative_to(tree.root)}
        found[name] = replace(tree, others=tree.others | theirs) if theirs else tree
    return found


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def root_of(text: str, project: Path) -> Path:
    """A target's directory: relative to the project, `~` is the user's home. Links in it are left as they are."""
    path = Path(text).expanduser()
    return Path(os.path.normpath(path if path.is_absolute() else project / path))


def roots_of(trees: Iterable[Tree]) -> dict[str, str]:
    """Target names to directories, as the store remembers them."""
    return {tree.target.name: str(tree.root) for tree in trees}

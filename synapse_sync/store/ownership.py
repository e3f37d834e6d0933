"""Trees: the targets as they are on this machine, each with its directory and our receipt there."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from synapse_sync.core.companion import Companion
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.plan import Key, Placement
from synapse_sync.store import receipt
from synapse_sync.store.locks import hold, lock_path
from synapse_sync.store.project_note import project_key
from synapse_sync.store.projects import records
from synapse_sync.store.receipt import Receipt, ReceiptEntry
from synapse_sync.store.receipt_index import DIRECTORY, receipt_paths
from synapse_sync.store.spelling import RealPlaces
from synapse_sync.user.places import expanded


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A target on this machine: its directory, this project's receipt there, and the paths of others.

    `others` are the paths that other receipts list, or that are wanted under another name.
    `barred` are the real paths into which no link in this target may lead, each with words for its owner.
    """

    target: Target
    root: Path
    receipt: Receipt
    others: frozenset[str] = frozenset()
    barred: Mapping[str, str] = field(default_factory=dict)

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
    """Trees that know which of their paths are wanted by another tree, or under another path: nobody removes those.

    Paths are compared by their real directories, so that two ways to one directory count as one. What other trees
    only *have* does not count: of two targets that drop a file neither would remove it.
    """
    where = RealPlaces()
    wanted_at: dict[str, set[Key]] = {}
    for each in wanted:
        wanted_at.setdefault(where(os.path.join(trees[each.target].root, each.path.text)), set()).add(each.key)
    found: dict[str, Tree] = {}
    for name, tree in trees.items():
        paths = {*tree.receipt.entries, *(each.path.text for each in wanted if each.target == name)}
        theirs = {
            path for path in paths if wanted_at.get(where(os.path.join(tree.root, path)), set()) - {(name, path)}
        }
        found[name] = replace(tree, others=tree.others | theirs) if theirs else tree
    return found


def with_barriers(trees: Mapping[str, Tree], wanted: Collection[str], *, key: str, store: Path) -> dict[str, Tree]:
    """Trees that know where no link of theirs may lead: into the store, into another target, or into `.synapse`.

    `wanted` are the names of the targets that the manifest has: a former target is no owner any more. `key` is the
    project's key; the targets of other projects are those that the store at `store` remembers.
    """
    away = {
        os.path.realpath(root): f"a target of the project {record.project}"
        for other, record in records(store)
        if other != key
        for root in record.roots.values()
        if _has_receipt(root, other)
    }
    found: dict[str, Tree] = {}
    for name, tree in trees.items():
        # Projects that share a root share its receipts, too, by whichever path they reach it.
        barred = {root: words for root, words in away.items() if root != os.path.realpath(tree.root)}
        barred |= {
            os.path.realpath(trees[other].root): f"the target `{other}`"
            for other in wanted
            if other in trees and trees[other].root != tree.root
        }
        barred |= {os.path.realpath(store): "the store", os.path.realpath(tree.root / DIRECTORY): "its `.synapse`"}
        found[name] = replace(tree, barred=barred)
    return found


@contextmanager
def hold_roots(trees: Mapping[str, Tree], store: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Be the only synapse process that works on these trees; `on_wait` is called with a line about who has one now.

    Raises `StorageError`. A store that this user may only read has no locks for them: it serves without.
    """
    # One lock for each real directory: a process that took the same one twice would wait for itself. Locks are
    # taken in one order, so that two projects with the same targets cannot wait for each other.
    roots = {project_key(tree.root): tree.root for tree in trees.values()}
    with ExitStack() as held:
        for key in sorted(roots):
            path = lock_path(store, f"target-{key}")
            held.enter_context(hold(path, f"the target {roots[key]}", on_wait=on_wait, optional=True))
        yield


def _has_receipt(root: str, key: str) -> bool:
    try:
        return bool(receipt_paths(root, key))
    except OSError:
        return False


def root_of(text: str, project: Path) -> Path:
    """A target's directory: relative to the project, `~` is the user's home. Links in it are left as they are.

    Raises `InputError` for a root that cannot be meant as it is, see `expanded`.
    """
    path = Path(expanded(text, "root"))
    return Path(os.path.normpath(path if path.is_absolute() else project / path))


def roots_of(trees: Iterable[Tree]) -> dict[str, str]:
    """Target names to directories, as the store remembers them."""
    return {tree.target.name: str(tree.root) for tree in trees}

"""Ownership: the targets on this machine, whose files are whose, and who works on them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import field, replace
from pathlib import Path

from synapse_sync.core.companion import Companion
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import ADOPTED, CLAIMED, LinkMode, own_file_mode
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Key, Placement
from synapse_sync.errors import SynapseError
from synapse_sync.store import receipt
from synapse_sync.store.durable import where_writable
from synapse_sync.store.licence import is_unforeseen, read_licensed, write_sealed
from synapse_sync.store.locks import hold, lock_path
from synapse_sync.store.project_note import project_key
from synapse_sync.store.projects import ProjectRecord, identity_of, is_gone, read_record, records, roots_near
from synapse_sync.store.receipt import Receipt, ReceiptEntry
from synapse_sync.store.receipt_index import APART, DIRECTORY, directory_of, receipt_paths
from synapse_sync.store.roots import root_of
from synapse_sync.store.spelling import RealPlaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A target on this machine: its directory, this project's receipt there, and the paths of others.

    `others` are the paths that other receipts list, or that are wanted under another name.
    `barred` are the real paths into which no link in this target may lead, each with words for its owner.
    `inherited` are the keys of the receipts whose entries are in `receipt` as well: see `take_over`.
    `beside` are the entries of all other receipts in the root, by path. `project` is the project's directory,
    `store` the root of the store. Of a `reproducible` one the receipts are plain.
    """

    target: Target
    root: Path
    receipt: Receipt
    others: frozenset[str] = frozenset()
    barred: Mapping[str, str] = field(default_factory=dict)
    inherited: tuple[str, ...] = ()
    beside: Mapping[str, tuple[ReceiptEntry, ...]] = field(default_factory=dict)
    project: Path | None = None
    store: Path | None = None
    reproducible: bool = False

    def entry(self, path: str) -> ReceiptEntry | None:
        """The entry of the receipt for a path, or None."""
        return self.receipt.entries.get(path)


def open_trees(
    targets: Iterable[Target],
    project: Path,
    key: str,
    *,
    link_mode: LinkMode | None,
    default_mode: LinkMode,
    store: Path,
    models: Collection[str] = (),
    reproducible: bool = False,
) -> dict[str, Tree]:
    """The trees of these targets by name.

    `link_mode` overrides theirs, `default_mode` replaces `auto`. `key` is the project's key in the store at
    `store`; `models` are the names of its models, by which a renamed project is known again. Raises `InputError`
    for a damaged receipt, and for a link mode in a `reproducible` workspace that shares the store's files;
    `StorageError`.
    """
    trees: dict[str, Tree] = {}
    targets = tuple(targets)
    together = [f"{key}-{target.name}" for target in targets]
    strays = {each.key: each for each in _strays(targets, project, key, store, models)}
    for target in targets:
        mode = link_mode or target.link_mode
        mode = default_mode if mode is LinkMode.AUTO else mode
        if reproducible:
            mode = own_file_mode(mode, f"target `{target.name}`")
        root = root_of(target.root, project)
        own = f"{key}-{target.name}"
        known = read_licensed(root, own, store) or Receipt(project=own, target=target.name)
        inherited = tuple(stray.key for stray in strays.values() if stray.target == target.name)
        for stray in inherited:
            if (old := read_licensed(root, stray, store)) is not None:
                known = replace(known, entries={**old.entries, **known.entries})
        others, beside = _neighbours(root, own, {*together, *strays}, project, store)
        trees[target.name] = Tree(
            target=replace(target, link_mode=mode),
            root=root,
            receipt=known,
            others=others,
            inherited=inherited,
            beside=beside,
            project=project,
            store=store,
            reproducible=reproducible,
        )
    return trees


def _neighbours(
    root: Path, own: str, together: Collection[str], project: Path, store: Path
) -> tuple[frozenset[str], dict[str, tuple[ReceiptEntry, ...]]]:
    """The paths that the receipts of other projects list, and the entries of all receipts but `own`, by path.

    `together` are the keys of the receipts of this `project`. A project that is gone holds no file.
    """
    holds: dict[str, bool] = {}
    others: set[str] = set()
    beside: dict[str, tuple[ReceiptEntry, ...]] = {}
    for key, entry in receipt.others(root, own):
        beside[entry.path] = (*beside.get(entry.path, ()), entry)
        if key not in holds:
            holds[key] = key not in together and _holds(key, root, project, store)
        if holds[key]:
            others.add(entry.path)
    return frozenset(others), beside


def _holds(key: str, root: Path, project: Path, store: Path) -> bool:
    """Whether the receipt of another project keeps its files for it.

    One that this store does not know came along with a tree inside of the project, from another machine or path.
    """
    record = read_record(store, key.partition("-")[0])
    if record is None:
        return not Path(os.path.realpath(root)).is_relative_to(os.path.realpath(project))
    return not is_gone(record)


def how_placed_beside(tree: Tree, path: str, sha256: str) -> str | None:
    """The way in which another target or project placed the file at this path, as long as it looks as it did.

    None if none placed it: its entry is missing, or says that the file was adopted there, too. Raises `OSError`.
    """
    for entry in tree.beside.get(path, ()):
        placed = entry.how not in (ADOPTED, CLAIMED) and entry.made is None and entry.sha256 == sha256
        if placed and is_unforeseen(os.path.join(tree.root, path), entry):
            return entry.how
    return None


def is_outside(tree: Tree, path: SafePath) -> bool:
    """Whether the real path of a file is outside the project: an adopted file stays the user's own there."""
    if tree.project is None:
        return True
    return not Path(os.path.realpath(path.under(tree.root))).is_relative_to(os.path.realpath(tree.project))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stray:
    """A receipt of this project from before it was renamed, moved or copied, and the target that inherits it."""

    key: str
    target: str


def _strays(
    targets: Sequence[Target], project: Path, key: str, store: Path, models: Collection[str]
) -> Iterator[_Stray]:
    """The receipts in the roots of these targets that belong to this project under an earlier key.

    A receipt counts only if the store knows its project, and in two cases. The root is inside the project and came
    along with it: it was at the same place inside the other one, and is not that place. Or the root is elsewhere
    and has not moved; then the directory must be the one that the store noted, or the other project gone, and some
    of the models the same.
    """
    names = {target.name for target in targets}
    taken: set[str] = set()
    for target in targets:
        root = root_of(target.root, project)
        for path in sorted(Path(directory_of(str(root))).glob("receipt-*.json")):
            stray = path.name.removeprefix("receipt-").removesuffix(".json")
            other, _, name = stray.partition("-")
            if other == key or stray in taken or (name != target.name and name in names):
                continue
            record = read_record(store, other)
            was = record.every_root.get(name) if record is not None else None
            if record is None or was is None:
                continue
            if _came_along(Path(was), Path(record.project), root, project) or (
                was == str(root)
                and (_is_renamed(record, project) or is_gone(record))
                and _shares(root, stray, models)
            ):
                taken.add(stray)
                yield _Stray(key=stray, target=target.name)


def _came_along(was: Path, old_project: Path, root: Path, project: Path) -> bool:
    """Whether a root is at the same place inside its project as another one was in its own, and not that one."""
    if not (was.is_relative_to(old_project) and root.is_relative_to(project)):
        return False
    alike = was.relative_to(old_project) == root.relative_to(project)
    return alike and os.path.realpath(was) != os.path.realpath(root)


def _is_renamed(record: ProjectRecord, project: Path) -> bool:
    """Whether a project that the store remembers is this directory, under the name that it had before."""
    return bool(record.identity) and record.identity == identity_of(project) and not os.path.exists(record.project)


def _shares(root: Path, stray: str, models: Collection[str]) -> bool:
    """Whether a receipt lists files of these models: an inode may be used again for another project."""
    old = receipt.read(root, stray)
    return old is not None and any(entry.model in models for entry in old.entries.values())


def take_over(trees: Iterable[Tree]) -> None:
    """Write the receipts that the trees inherit into their own, and drop the old ones; raises `StorageError`.

    Where this user may only read, they are inherited anew each time.
    """
    for tree in trees:
        if tree.inherited:
            with where_writable():
                # In this order: after a crash in between, both list the files, and the next sync inherits again.
                known = replace(tree.receipt, complete=None)
                write_sealed(tree.root, known, tree.store, is_plain=tree.reproducible)
                for stray in tree.inherited:
                    receipt.discard(tree.root, stray)


def former_trees(
    roots: Mapping[str, str], key: str, trees: Mapping[str, Tree], *, project: Path, store: Path
) -> dict[str, Tree]:
    """The roots that targets had at an earlier sync and have no more, as trees: nothing is wanted there.

    `roots` are the remembered ones by name, `project` is the project's directory, `store` the root of the store. A
    root that its target had before another one has a name of its own.
    """
    former: dict[str, Tree] = {}
    where = RealPlaces()
    for name, text in roots.items():
        root = Path(text)
        declared = name.removesuffix(f" in {text}")
        own = f"{key}-{declared}"
        here = trees.get(declared)
        if here is not None and where(directory_of(str(here.root))) == where(directory_of(str(root))):
            continue
        if not root.is_dir() or (known := read_licensed(root, own, store)) is None:
            continue
        together = [own, *(tree.receipt.project for tree in trees.values())]
        others, beside = _neighbours(root, own, together, project, store)
        label = name if here is None else former_name(declared, text)
        former[label] = Tree(
            target=Target(name=label, root=text),
            root=root,
            receipt=known,
            others=others,
            beside=beside,
            project=project,
            store=store,
        )
    return former


def former_roots(project: Path, key: str, store: Path, models: Collection[str]) -> list[tuple[str, dict[str, str]]]:
    """The roots that this project had at earlier syncs, by target name, with the key of the receipts there.

    A renamed project had some under another key, too. Roots inside its directory came along. Of a project that the
    store does not know, a new one, the roots near the manifest are found by their receipts.
    """
    found: list[tuple[str, dict[str, str]]] = []
    own = read_record(store, key)
    if own is None or not own.every_root:  # it was only locked so far
        found.append((key, roots_near(project, key)))
    for other, record in records(store):
        if other == key:
            found.insert(0, (key, record.every_root))
        elif _is_renamed(record, project):
            roots = {n: _came_to(Path(r), Path(record.project), project) for n, r in record.every_root.items()}
            found.append((other, {n: r for n, r in roots.items() if _shares(Path(r), f"{other}-{n}", models)}))
        elif roots := _copied_roots(record, other, project):
            found.append((other, roots))
    return found


def _copied_roots(record: ProjectRecord, key: str, project: Path) -> dict[str, str]:
    """The roots that came along with a copy of another project, by target name; `key` is that of the other one."""
    old = Path(record.project)
    inside = {name: Path(root) for name, root in record.every_root.items() if Path(root).is_relative_to(old)}
    roots = {name: project / root.relative_to(old) for name, root in inside.items()}
    return {
        name: str(root)
        for name, root in roots.items()
        if os.path.realpath(root) != os.path.realpath(inside[name])
        and receipt.receipt_path(root, f"{key}-{name}").exists()
    }


def _came_to(root: Path, old_project: Path, project: Path) -> str:
    """Where a root of a renamed project is now."""
    return str(project / root.relative_to(old_project) if root.is_relative_to(old_project) else root)


def former_name(name: str, root: str) -> str:
    """The name of a root that a target had before, among the roots of a project."""
    return f"{name} in {root}"


def remembered_roots(before: Mapping[str, str], trees: Iterable[Tree]) -> dict[str, str]:
    """The roots to remember: those of `trees`, and of `before` those that no target has now, by their names."""
    now = {tree.target.name: str(tree.root) for tree in trees}
    kept = {former_name(name, root) if now.get(name, root) != root else name: root for name, root in before.items()}
    return {**kept, **now}


def with_neighbours(trees: Mapping[str, Tree], wanted: Sequence[Placement | Companion]) -> dict[str, Tree]:
    """Trees that know which of their paths are wanted by another tree, or under another path: no one removes those.

    Paths are compared by their real directories, so that two ways to one directory count as one. Files that
    other trees only *have* do not count: of two targets that drop a file neither would remove it.
    """
    real = RealPlaces()
    folders: dict[Key, str] = {}

    def where(key: Key) -> Key:
        """The real directory of a path, and its name there. Many paths share a directory."""
        target, path = key
        folder, _, name = path.rpartition("/")
        if (target, folder) not in folders:
            folders[target, folder] = real.folder(os.path.join(trees[target].root, *folder.split("/")))
        return folders[target, folder], name

    keys = {each.key for each in wanted}
    wanted_at: dict[Key, list[Key]] = {}
    for key in keys:
        wanted_at.setdefault(where(key), []).append(key)
    theirs: dict[str, set[str]] = {name: set() for name in trees}
    for sharing in wanted_at.values():
        for target, path in sharing if len(sharing) > 1 else ():
            theirs[target].add(path)
    for name, tree in trees.items():
        listed = ((name, path) for path in tree.receipt.entries)
        theirs[name] |= {key[1] for key in listed if key not in keys and where(key) in wanted_at}
    return {
        name: replace(tree, others=tree.others | theirs[name]) if theirs[name] else tree
        for name, tree in trees.items()
    }


def with_barriers(
    trees: Mapping[str, Tree], wanted: Collection[str], *, key: str, store: Path, stores: Collection[Path] = ()
) -> dict[str, Tree]:
    """Trees that know where their links may not lead: into the store, into another target, or into `.synapse`.

    `wanted` are the names of the targets that the manifest has: a former target is no owner any more. `key` is the
    project's key; the targets of other projects are those that the store at `store` remembers. `stores` are all
    stores of this user, if there are several.
    """
    away = {
        os.path.realpath(root): f"a target of the project {record.project}"
        for other, record in records(store)
        if other != key
        for root in record.roots.values()
        if _has_receipt(root, other) and not is_gone(record)
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
        barred |= {os.path.realpath(each): "the store" for each in (store, *stores)}
        barred |= {os.path.realpath(tree.root / folder): "its `.synapse`" for folder in (DIRECTORY, APART)}
        found[name] = replace(tree, barred=barred)
    return found


def with_sharers(trees: Mapping[str, Tree], *, key: str, store: Path) -> dict[str, Tree]:
    """Trees that know which of their files other projects list, too, under a root that leads to the same directory.

    Links of two projects may lead to one disk: no receipt in either root says so. `key` is the key of this project.
    """
    where = RealPlaces()
    theirs = {
        where(os.path.join(root, path))
        for other, record in records(store)
        if other != key and not is_gone(record)
        for root in dict.fromkeys(record.every_root.values())
        for path in _listed_below(root, other)
    }
    found: dict[str, Tree] = {}
    for name, tree in trees.items():
        shared = {path for path in tree.receipt.entries if where(os.path.join(tree.root, path)) in theirs}
        found[name] = replace(tree, others=tree.others | shared)
    return found


def _listed_below(root: str, key: str) -> Iterator[str]:
    """The paths that the receipts of a project list in a root; a damaged receipt is that project's to report."""
    with contextlib.suppress(SynapseError, OSError):
        for path in receipt_paths(root, key):
            known = receipt.read(Path(root), os.path.basename(path).removeprefix("receipt-").removesuffix(".json"))
            yield from known.entries if known is not None else ()


@contextmanager
def hold_roots(trees: Mapping[str, Tree], store: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Be the only synapse process that works on these trees; `on_wait` is called with a line about who has one now.

    Raises `StorageError`. A store that this user may only read has no locks for them: it is used without.
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

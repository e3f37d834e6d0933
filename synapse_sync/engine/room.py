"""Room: whether the store and the targets can be written to, and have space for what a plan brings."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.paths import shell_word
from synapse_sync.core.plan import Plan, Verb
from synapse_sync.core.size_text import size_text
from synapse_sync.errors import StorageError
from synapse_sync.store import links, partials
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import storage_error
from synapse_sync.store.free_space import no_room
from synapse_sync.store.locks import no_place
from synapse_sync.store.ownership import Tree
from synapse_sync.store.receipt_index import directory_of
from synapse_sync.store.several import device_of
from synapse_sync.user.places import home_text

#: The directories of the store that a download writes into, besides `tmp`.
_STORE = ("partials", "blobs", "meta")
_PLACING = (Verb.PLACE, Verb.REPLACE)


def choose_stores(plan: Plan, trees: Mapping[str, Tree], store: BlobStore) -> None:
    """Let each blob that comes be received in the store on the volume of the targets that need it."""
    for action in plan.of(*_PLACING):
        store.expect(action.sha256, (trees[action.target].root / action.path).parent)
    for action in plan.of(Verb.FETCH):
        if action.artifact is not None and (archive := action.artifact.archive) is not None:
            store.expect(archive.sha256, store.home(action.sha256).root)


def unwritable(plan: Plan, trees: Mapping[str, Tree], store: BlobStore) -> Iterator[StorageError]:
    """The stores and the targets in which a file cannot be made: one error for each, with the first directory.

    Only a try is sure, so an empty file is made for a moment.
    """
    for root in {store.home(action.sha256).root: None for action in plan.of(Verb.FETCH, Verb.SALVAGE)}:
        # A kill may leave the file of a trial, and only `tmp` may hold such files; the others are asked about.
        tries = (_forbidden(_nearest(root / name)) for name in _STORE)
        yield from _first((_trial(_nearest(root / "tmp")), *tries))
    directories: dict[str, dict[tuple[Path, LinkMode], None]] = {}
    for action in plan.of(*_PLACING):
        where = _nearest((trees[action.target].root / action.path).parent)
        directories.setdefault(action.target, {})[(where, action.link_mode)] = None
    for name, pairs in sorted(directories.items()):
        state = _nearest(Path(directory_of(str(trees[name].root))))
        ways = (_way_problem(store.beside(where).root, where, mode) for where, mode in pairs)
        for error in _first((_trial(state), *ways)):
            error.message = f"target `{name}`: {error.message}"
            if error.hint is not None and "SYNAPSE_STORE" in error.hint:  # the store is not the cause
                error.hint = "make the target's directory writable for you, or choose another `root`"
            yield error


def _first(errors: Iterator[StorageError | None] | tuple[StorageError | None, ...]) -> Iterator[StorageError]:
    """The first of several errors, if there is any."""
    found = next((error for error in errors if error is not None), None)
    if found is not None:
        yield found


def _forbidden(directory: Path) -> StorageError | None:
    """The error of writing in a directory, as far as the system says it without a trial."""
    if os.access(directory, os.W_OK | os.X_OK):
        return None
    error = OSError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
    return storage_error(error, f"writing in {directory}")


def _trial(directory: Path) -> StorageError | None:
    """The error of making a file in a directory; None if it can be made, or if this is no directory."""
    if not directory.is_dir():
        return None  # a file in the way is a conflict, which the plan reports
    try:
        links.try_file(directory)
    except OSError as error:
        return storage_error(error, f"writing in {directory}")
    return None


def _way_problem(store: Path, directory: Path, mode: LinkMode) -> StorageError | None:
    """The error of placing a file in a directory, by this link mode; None if it can be placed."""
    if (problem := _trial(directory)) is not None or not directory.is_dir():
        return problem
    try:
        _way(store, directory, mode)
    except StorageError as error:
        return error
    return None


def _way(store: Path, directory: Path, mode: LinkMode) -> LinkMode:
    """The way in which files will be placed in a directory; raises `StorageError` if none is possible.

    A store that cannot be written to has no room for a trial: then the mode itself is the answer.
    """
    scratch = _nearest(store / "tmp")
    return mode if _trial(scratch) is not None else links.way_there(scratch, directory, mode)


def missing_room(plan: Plan, trees: Mapping[str, Tree], store: BlobStore) -> Iterator[StorageError]:
    """File systems with less free space than a plan needs there, those of the stores and of the targets.

    Bytes that an earlier download left count as present. A file that is copied into a target needs its size there
    as well, and so does one that is copied into the store beside it first.
    """
    needed: dict[int, int] = {}
    where: dict[int, Path] = {}

    def need(path: Path, size: int) -> None:
        existing = _nearest(path)
        device = existing.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        where.setdefault(device, existing)

    # One look for all files at the partial downloads, and one at each directory: most files share theirs.
    incoming: dict[Path, dict[str, int]] = {}
    for key, size in _incoming(plan).items():
        incoming.setdefault(store.home(key).root, {})[key] = size
    for root, sizes in incoming.items():
        begun = partials.begun(root)
        rests = (n - (partials.bytes_begun(root, key) if key in begun else 0) for key, n in sizes.items())
        need(root, sum(max(0, rest) for rest in rests))
    for root, size in _between_stores(plan, trees, store):
        need(root, size)
    copied: dict[tuple[Path, LinkMode], tuple[Path, int]] = {}
    for action in plan.of(*_PLACING):
        if action.leads_to:
            continue
        where_to = ((trees[action.target].root / action.path).parent, action.link_mode)
        directory, size = copied.get(where_to) or (_nearest(where_to[0]), 0)
        copied[where_to] = (directory, size + action.size)
    for (_, mode), (directory, size) in copied.items():
        if directory.is_dir() and _is_copied(mode, store.beside(directory).root, directory):
            need(directory, size)
    devices = {_nearest(member.root).stat().st_dev for member in store.members}
    for device, size in needed.items():
        if size and (words := no_room(where[device], size)) is not None:
            yield StorageError(
                words,
                hint="free some space (`synapse store gc` shows what the store could give back), "
                "or put the store elsewhere with SYNAPSE_STORE"
                if device in devices
                else "free some space there; the files of the store are on another file system",
            )


def _between_stores(plan: Plan, trees: Mapping[str, Tree], store: BlobStore) -> Iterator[tuple[Path, int]]:
    """The blobs that are copied from one store into another one: the root of that, and the size in bytes."""
    seen: set[tuple[Path, str]] = set()
    for action in plan.of(*_PLACING) if store.members[1:] else ():
        home = store.home(action.sha256)
        there = store.beside((trees[action.target].root / action.path).parent, action.sha256)
        if there is not home and not action.link_mode.is_own_file and (there.root, action.sha256) not in seen:
            seen.add((there.root, action.sha256))
            yield there.root, action.size


def disks_apart(what: str, root: Path, store: Path, cost: str) -> str | None:
    """The warning that a root is on another disk than the store; None if it is not.

    `what` are the words for the root, `store` is the store's root; `cost` says where the bytes will be.
    """
    there, here = _nearest(root), _nearest(store)
    if not there.is_dir() or there.stat().st_dev == here.stat().st_dev:
        return None
    free = size_text(shutil.disk_usage(here).free)
    # Beside the root, unless that is where the disk is mounted.
    folder = root.parent if device_of(root.parent) == there.stat().st_dev else root
    place = shell_word(str(folder / "synapse-store"), windows=os.name == "nt")
    return (
        f"{what} ({root}) is on another disk than the store ({store}, {free} free). {cost}. For a store on the "
        f"disk of the target, run `synapse store add {place}`"
    )


def check_store(store: Path) -> None:
    """Raise `StorageError` if the store's root, or a part of the way to it, is something else than a directory."""
    nearest = next(path for path in (store, *store.parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise no_place(store, os.strerror(errno.ENOTDIR))


def store_words(root: Path, store: Path) -> str:
    """Where the bytes of a new project will be, and what that costs; `store` is the store's root."""
    free = size_text(shutil.disk_usage(_nearest(store)).free)
    home = home_text()
    shown = (
        f"~{str(store).removeprefix(home)}" if home != "~" and str(store).startswith(f"{home}{os.sep}") else store
    )
    if _is_copied(LinkMode.AUTO, store, _nearest(root)):
        return f"bytes: {shown} ({free} free), copied from there: each file needs its size twice"
    return f"bytes: {shown} ({free} free), linked from there: each file is on disk once"


def apart(plan: Plan, trees: Mapping[str, Tree], stores: BlobStore) -> Iterator[str]:
    """The warnings about targets on a disk without a store, before the first files are placed there.

    Later syncs are silent: by then the user has seen it.
    """
    incoming = _incoming(plan)
    for name, tree in sorted(trees.items()):
        placing = [a for a in plan.of(*_PLACING) if a.target == name and a.sha256 in incoming]
        if tree.receipt.entries or not placing:
            continue
        size = size_text(sum({action.sha256: action.size for action in placing}.values()))
        store = stores.beside(tree.root).root
        twice = any(_is_copied(mode, store, _nearest(tree.root)) for mode in {a.link_mode for a in placing})
        cost = f"{size} go into the store, {'and again' if twice else 'and links'} into the target"
        if (warning := disks_apart(f"target `{name}`", tree.root, store, cost)) is not None:
            yield warning


def _incoming(plan: Plan) -> dict[str, int]:
    """The sizes of the blobs that come into the store, by SHA-256: files, and the archives that they are in."""
    sizes = {action.sha256: action.size for action in plan.of(Verb.FETCH, Verb.SALVAGE)}
    artifacts = (action.artifact for action in plan.of(Verb.FETCH))
    archives = (artifact.archive for artifact in artifacts if artifact is not None)
    return sizes | {archive.sha256: archive.size for archive in archives if archive is not None}


def _is_copied(mode: LinkMode, store: Path, directory: Path) -> bool:
    """Whether a file that is placed in a directory will occupy its size there."""
    try:
        way = _way(store, directory, mode)
    except StorageError:
        return False  # reported by `unwritable`
    across = directory.stat().st_dev != _nearest(store).stat().st_dev
    return way.needs_room(across=across)


def _nearest(path: Path) -> Path:
    """The path itself or the first existing directory above it."""
    while not path.exists():
        path = path.parent
    return path

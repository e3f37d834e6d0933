"""Detach: the links of a tree become files, and the tree no longer knows of synapse. Its bytes stay as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import former_of, trees_in
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import IntegrityError, StorageError, SynapseError, raise_all
from synapse_sync.project import Project
from synapse_sync.store import links, receipt
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import fsync_dir, storage_error
from synapse_sync.store.free_space import no_room
from synapse_sync.store.hashing import hash_file
from synapse_sync.store.leave import is_left, leave
from synapse_sync.store.ownership import Tree, hold_roots, take_over
from synapse_sync.store.projects import forget_record
from synapse_sync.store.receipt import ReceiptEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One link that becomes a file of `size` bytes: its target, its path there, and the blob with its bytes."""

    target: str
    path: str
    place: Path
    blob: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Detachment:
    """All that a detach does, or has done.

    `turns` are the links that become files. `files` counts the listed files that are files already; `shared` of
    them are hard links, which have their bytes in common with the store. `changed` are listed paths that somebody
    changed or removed; they stay as they are. `roots` are the directories of the targets.
    """

    turns: tuple[Turn, ...] = ()
    files: int = 0
    shared: int = 0
    changed: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """The bytes of the files that links become."""
        return sum(turn.size for turn in self.turns)


def detach(project: Project, scope: Scope, tools: Tools, *, own: bool = False, dry_run: bool = False) -> Detachment:
    """Turn the links of the targets in scope into files, and forget these targets; returns what was done.

    With `own`, hard links to the store become files of their own, too. With `dry_run` nothing is changed. A detach
    that was interrupted can be repeated: until a target is finished, its receipt lists everything. Raises
    `InputError` for an unknown target, `StorageError` without room for the copies, and what failed.
    """
    if dry_run:
        return _plan(_trees(project, scope, tools), own=own)
    with project.hold(tools.reporter.note):
        trees = _trees(project, scope, tools)
        with hold_roots(trees, project.store, tools.reporter.note):
            trees = _trees(project, scope, tools)  # another process may have written the receipts meanwhile
            take_over(trees.values())
            plan = _plan(trees, own=own)
            raise_all(list(_missing_room(plan, tools.store)))
            failed = _turn_all(plan, tools)
            for name, tree in trees.items():
                if name not in failed:
                    leave(tree.root, (tree.receipt.project, *tree.inherited), tree.receipt.entries)
            raise_all([error for errors in failed.values() for error in errors])
            if not scope.targets:
                for member in tools.store.members:
                    forget_record(member.root, project.key)
    return plan


def _trees(project: Project, scope: Scope, tools: Tools) -> dict[str, Tree]:
    """The targets in scope, for a whole project also former ones, as far as something is left there."""
    trees = trees_in(project, scope, tools.link_mode)
    if not scope.targets:
        trees |= former_of(project, {model.name for model in project.lockfile.models}, trees)
    return {
        name: tree
        for name, tree in trees.items()
        if tree.receipt.entries or is_left(tree.root, tree.receipt.project)
    }


def _plan(trees: Mapping[str, Tree], *, own: bool) -> Detachment:
    """Look at every listed path; raises `StorageError`."""
    turns: list[Turn] = []
    changed: list[str] = []
    files = shared = 0
    for name, tree in trees.items():
        for path, entry in sorted(tree.receipt.entries.items()):
            place = tree.root / path
            try:
                state, blob = _look(place, entry, own=own)
            except OSError as error:
                raise storage_error(error, f"looking at {place}") from error
            if blob is not None:
                turn = Turn(target=name, path=path, place=place, blob=blob, sha256=entry.sha256, size=entry.size)
                turns.append(turn)
            elif state == "changed":
                changed.append(str(place))
            else:
                files += 1
                shared += state == "shared"
    roots = tuple(tree.root for tree in trees.values())
    return Detachment(turns=tuple(turns), files=files, shared=shared, changed=tuple(changed), roots=roots)


def _look(place: Path, entry: ReceiptEntry, *, own: bool) -> tuple[str, Path | None]:
    """The state of a listed path, and the blob for a link that is to become a file. Raises `OSError`.

    A link to another path of the same target works without the store, and stays. With `own`, a hard link becomes a
    file of its own.
    """
    if place.is_symlink():
        text = os.readlink(place)  # noqa: PTH115 - the text as the receipt has it
        if text != entry.link:
            return "changed", None
        blob = Path(text)
        return "link", blob if blob.is_absolute() and blob.name == entry.sha256 else None
    if not place.is_file():
        return "changed", None
    if entry.link is not None:  # a detach that was interrupted has made it, or the user's own program
        return ("file" if place.stat().st_size == entry.size else "changed"), None
    if receipt.matches(str(place), entry) != "same":
        return "changed", None
    if place.stat().st_nlink == 1:
        return "file", None
    return "shared", place if own else None


def _missing_room(plan: Detachment, store: BlobStore) -> Iterator[StorageError]:
    """The file systems with less free space than the copies need; clones need none."""
    needed: dict[int, int] = {}
    where: dict[int, Path] = {}
    for turn in plan.turns:
        directory = turn.place.parent
        device = directory.stat().st_dev
        if not _can_clone(store, directory):
            needed[device] = needed.get(device, 0) + turn.size
            where.setdefault(device, directory)
    for device, size in needed.items():
        if (words := no_room(where[device], size, "needed for the files that links become")) is not None:
            yield StorageError(
                words, hint="free some space there, or detach one target after another with `--target`"
            )


def _can_clone(store: BlobStore, directory: Path) -> bool:
    try:
        links.way_there(store.beside(directory).root / "tmp", directory, LinkMode.CLONE)
    except (SynapseError, OSError):
        return False
    return True


def _turn_all(plan: Detachment, tools: Tools) -> dict[str, list[SynapseError]]:
    """Make a file of every link; returns the failures by target. Names are durable when it returns."""
    failed: dict[str, list[SynapseError]] = {}
    touched: set[Path] = set()
    for turn in plan.turns:
        try:
            _turn(turn, tools.store)
        except SynapseError as error:
            failed.setdefault(turn.target, []).append(error.about(turn.path))
        else:
            touched.add(turn.place.parent)
            tools.reporter.note(f"{turn.place} is a file now")
    for directory in touched:
        fsync_dir(directory)
    return failed


def _turn(turn: Turn, store: BlobStore) -> None:
    """Put a verified copy in the place of a link, in one step; raises `StorageError`, `IntegrityError`."""
    mode = LinkMode.CLONE if _can_clone(store, turn.place.parent) else LinkMode.COPY
    if not turn.blob.exists():
        raise StorageError(
            f"{turn.place} leads to nothing: its bytes are gone from the store",
            hint="`synapse sync` brings them again, then detach again",
        )
    try:
        # A copy of a blob is hashed while it is made; a clone, and a copy of a hard link, are not.
        if (mode.is_own_file and turn.blob != turn.place) or hash_file(turn.blob) == turn.sha256:
            links.place(turn.blob, turn.place, mode, replace=True, settle=False)
            return
    except OSError as error:
        raise storage_error(error, f"reading {turn.blob}") from error
    raise IntegrityError(
        f"{turn.place} no longer has the bytes that were placed; it is still a link",
        hint="`synapse verify --repair` mends it, then detach again",
    )

"""Every step on a path of a target, with its line in the journal and its entry in the receipt."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from synapse_sync.core.link_mode import ADOPTED, CLAIMED, TAKEN, WITHIN, LinkMode
from synapse_sync.core.look import Looks
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import MERGED, Action, Key, Observed, Plan, State, Verb
from synapse_sync.core.report import conflict_error
from synapse_sync.errors import Conflict, StorageError, SynapseError, raise_all
from synapse_sync.store import journal, links, receipt, sidecars
from synapse_sync.store.aside import set_aside
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import fsync_dir, remove, rename_new, storage_error, tree_error
from synapse_sync.store.elsewhere import ListedElsewhere
from synapse_sync.store.folder_times import settle_folders
from synapse_sync.store.hashing import hash_file
from synapse_sync.store.ledger import Ledger
from synapse_sync.store.looks import give_look, look_beside, look_of_blob
from synapse_sync.store.ownership import Tree, how_placed_beside
from synapse_sync.store.reach import make_way, walk_again
from synapse_sync.store.receipt import ReceiptEntry
from synapse_sync.store.spelling import RealPlaces, is_spelled, respell_path

#: Changes between two savings of the receipts: a crash loses at most that many entries, never file contents.
SAVED_EVERY = 200


class TreeWriter:
    """The writer of one run: carries out actions on the paths of its targets, and keeps their receipts.

    `trees` are the targets by name, `observed` is the state that `plan` was made from. `command` is named in the
    journal. `folders` are directories that belong to a UI, relative to a root: they stay when they become empty.
    `looks` has the modes and times of files.
    """

    def __init__(
        self,
        plan: Plan,
        trees: Mapping[str, Tree],
        observed: Mapping[Key, Observed],
        *,
        store: BlobStore,
        command: str,
        folders: Collection[str],
        looks: Looks,
    ) -> None:
        self._trees = trees
        self._looks = looks
        self._touched: dict[Path, set[str]] = {}  # directories of each root whose names changed
        self._observed = observed
        self._store = store
        self._command = command
        self._folders = folders
        self._ledger = Ledger(trees, store.root)
        self._elsewhere = ListedElsewhere(store.root, {tree.receipt.project for tree in trees.values()})
        placing = (a for a in plan.actions if a.verb in (Verb.PLACE, Verb.REPLACE) and not a.leads_to)
        self._uses = Counter(action.sha256 for action in placing)  # how many paths still need a blob
        self._stored: set[str] = set()  # blobs that this run has seen in the store
        self._placed: dict[str, ReceiptEntry] = {}  # by real place
        self._real_place = RealPlaces()
        self._unsettled: set[Path] = set()  # directories whose new names are not durable yet
        self._changes = 0

    def salvage(self, sha256: str) -> str | None:
        """Copy bytes from a path of a tree into the store; returns the path, or None if no tree has them."""
        for target, path in self._having.get(sha256, ()):
            try:
                self._store.import_file(SafePath(path).under(self._trees[target].root), sha256=sha256)
            except (SynapseError, OSError):
                continue  # changed or gone meanwhile: another path may still have the bytes
            self.arrived(sha256)
            return path
        return None

    @cached_property
    def _having(self) -> dict[str | None, list[Key]]:
        """The paths at which files were observed, by their SHA-256."""
        having: dict[str | None, list[Key]] = {}
        for key, found in self._observed.items():
            if found.state in (State.PLACED, State.FOREIGN, State.ALTERED):
                having.setdefault(found.sha256, []).append(key)
        return having

    def arrived(self, sha256: str) -> None:
        """Note that the store has a blob, so that it is not looked for again."""
        self._stored.add(sha256)

    def carry_out(self, action: Action, content: bytes | None = None) -> str | None:
        """Carry out one action on a path; `content` are the bytes of a companion.

        Returns words on how it was done, or None. Raises `Conflict` where synapse did not place the file or where
        it has just changed, `StorageError`, `IntegrityError`.
        """
        self._changes += 1
        touched = self._touched.setdefault(self._trees[action.target].root, set())
        touched.add(action.path.rpartition("/")[0])
        try:
            return self._carry_out(action, content)
        except OSError as error:
            raise tree_error(error, f"placing `{action.path}`", self._trees[action.target].root) from error

    def save_sometimes(self) -> None:
        """Save the receipts after every 200 actions; raises what failed."""
        if self._changes >= SAVED_EVERY:
            self.write_receipts(whole=False)

    def _carry_out(self, action: Action, content: bytes | None) -> str | None:
        match action.verb:
            case Verb.PLACE:
                return self._place(action, replace_it=False)
            case Verb.REPLACE:
                return self._replace(action)
            case Verb.ADOPT:
                return self._adopt(action)
            case Verb.WRITE | Verb.MERGE:
                assert content is not None
                return self._accompany(action, content)
            case Verb.PRUNE:
                return self._prune(action)
            case Verb.FORGET | Verb.KEEP:
                self._ledger.drop(action.target, action.path)
                return action.reason
            case _:
                raise conflict_error(action)

    # -- weights -----------------------------------------------------------------------------------

    def _place(self, action: Action, *, replace_it: bool) -> str:
        """Give a blob its name in the tree; returns the way that was used."""
        destination = self._make_way(action)
        if action.leads_to:
            return self._point(action, destination, replace_it=replace_it)
        mode = action.link_mode
        self._uses[action.sha256] -= 1
        if not replace_it and (how := self._twin(action, destination)) is not None:
            self._own(action, destination, how)
            return how
        if mode.empties_store and (self._uses[action.sha256] > 0 or self._is_linked(action)):
            mode = LinkMode.COPY  # others still need the blob: the last one moves it
        if not self._has_blob(action):
            raise StorageError(f"the store lost {action.sha256[:12]}… while it was needed", hint="sync again")
        if self._store.is_foreign(action.sha256):
            mode = LinkMode.COPY  # it is hashed on the way, and its owner cannot change it afterwards
        blob = self._blob(action.sha256, destination.parent, mode)
        look = self._looks.of_file(action.model, action.sha256)
        look = look_of_blob(look, blob, lambda: self._store.is_public(action.sha256))
        how = links.place(blob, destination, mode, replace=replace_it, settle=False, look=look)
        # The name is durable only when its directory is: `write_receipts` sees to that before the receipt lists it.
        self._unsettled.add(destination.parent)
        # A file of its own is what `move` promises, even where the blob stays in the store for others.
        self._own(action, destination, action.link_mode if action.link_mode.empties_store else how)
        self._placed[self._real_place(str(destination))] = self._listed(action.target)[action.path]
        return how

    def _blob(self, sha256: str, directory: Path, mode: LinkMode) -> Path:
        """The blob to place in a directory: for a link, on the volume of that if the user has a store there."""
        return self._store.path(sha256) if mode.is_own_file else self._store.near(sha256, directory)

    def _point(self, action: Action, destination: Path, *, replace_it: bool) -> str:
        """Make a path a link to another path of its target, which must have the bytes by now."""
        there = SafePath(action.leads_to).under(self._trees[action.target].root)
        if not self._blob_beside(action):
            raise Conflict(f"`{action.leads_to}` does not have the bytes of `{action.path}`", hint="sync again")
        if not replace_it and (how := self._twin(action, destination)) is not None:
            self._own(action, destination, how)
            return how
        look = self._looks.of_file(action.model, action.sha256)
        how = links.point(destination, action.link, there, replace=replace_it, look=look)
        self._unsettled.add(destination.parent)
        self._own(action, destination, how)
        self._placed[self._real_place(str(destination))] = self._listed(action.target)[action.path]
        return "a link to its blob" if how == WITHIN else how

    def _blob_beside(self, action: Action) -> bool:
        """Whether the path that a link leads to is listed with its bytes, and looks as it did."""
        if not action.leads_to:
            return False
        entry = self._listed(action.target).get(action.leads_to)
        place = SafePath(action.leads_to).under(self._trees[action.target].root)
        if entry is None or entry.sha256 != action.sha256:
            return False
        return receipt.matches(str(place), entry) == "same" or self._same_content(place, entry)

    def _has_blob(self, action: Action) -> bool:
        if action.sha256 not in self._stored and self._store.has(action.sha256):
            self._stored.add(action.sha256)
        return action.sha256 in self._stored

    def _twin(self, action: Action, destination: Path) -> str | None:
        """The way in which this run placed this file for another target with the same directory, or None."""
        entry = self._placed.get(self._real_place(str(destination)))
        if entry is None or entry.sha256 != action.sha256:
            return None
        # FUSE may give each spelling of a file an inode of its own: then the content decides.
        look = receipt.matches(str(destination), entry)
        same = look == "same" or (look == "changed" and self._same_content(destination, entry))
        return entry.how if same else None

    def _is_linked(self, action: Action) -> bool:
        """Whether a symbolic link may lead to the blob: one of this run's that stays, or any of another project."""
        here = (self._trees[action.target].root, action.path)
        return bool(self._ledger.links_to(action.sha256) - {here}) or action.sha256 in self._elsewhere

    def _replace(self, action: Action) -> str:
        """Replace a placed file by the wanted bytes; a foreign one (`--force`) moves aside first."""
        found = self._observed[(action.target, action.path)]
        place = self._reach(action)
        if found.state is State.PLACED and not found.theirs:
            if self._twin(action, place) is not None:  # this run replaced it for another target with this root
                return self._place(action, replace_it=False)
            self._still_ours(action, place)
            entry = self._entry(action)
            assert entry is not None  # a placed file is listed
            # The journal comes first: a line without its act is harmless, an act without its line is not.
            self._journal(action, f"replaced: {action.reason}")
            only_copy = not self._store.has(entry.sha256)
            try:
                self._rescue(action, place)
                return self._place(action, replace_it=True)
            except BaseException:
                # The only copy went into the store: without this the path would be empty until the next sync.
                # Ctrl-C may come right after the rename of the rescue: the disk says how far that got.
                if only_copy and not os.path.lexists(place) and self._store.path(entry.sha256).exists():
                    links.place(self._store.path(entry.sha256), place, LinkMode.MOVE)
                raise
        aside = set_aside(place)
        try:
            self._journal(action, f"moved aside to {aside.name}: {action.reason}")
            how = self._place(action, replace_it=False)
        except BaseException:
            # Whatever failed, the journal included: the path must not be left empty.
            with contextlib.suppress(OSError):
                rename_new(aside, place)
            raise
        return f"{how}; the file that was there is now `{aside.name}`"

    def _adopt(self, action: Action) -> str:
        """List a file that has the right bytes already."""
        place = self._reach(action)
        entry = self._entry(action)
        how = entry.how if entry is not None and self._spelled(action) is not None else self._how(place, action)
        self._own(action, place, how)
        return how

    def _how(self, place: Path, action: Action) -> str:
        """The way in which a right file is placed: a link to the blob is synapse's own, made before a crash."""
        if action.leads_to and place.is_symlink():
            # Links of the hub's library look the same: this one is as much synapse's own as what it leads to.
            blob_entry = self._listed(action.target).get(action.leads_to)
            own = blob_entry is not None and blob_entry.how not in (ADOPTED, CLAIMED)
            return WITHIN if own and place.readlink().as_posix() == action.link else ADOPTED
        blobs = [member.path(action.sha256) for member in self._store.members]
        if place.is_symlink():
            # Windows returns the path with the prefix that lifts its limit of 260 characters.
            return "symlink" if Path(str(place.readlink()).removeprefix("\\\\?\\")) in blobs else ADOPTED
        if any(blob.exists() and place.samefile(blob) for blob in blobs):
            return "hardlink"
        return how_placed_beside(self._trees[action.target], action.path, action.sha256) or ADOPTED

    # -- companions --------------------------------------------------------------------------------

    def _accompany(self, action: Action, content: bytes) -> str:
        """Write one preview or sidecar, or merge into one with content of others."""
        companion = action.companion
        assert companion is not None
        root = self._trees[action.target].root
        place = self._make_way(action)
        if action.verb is Verb.MERGE:
            how = sidecars.merge_into(place, content, sidecars.base_path(root, companion.path), companion.facts)
        elif self._observed[(action.target, action.path)].state is State.PLACED:
            self._still_ours(action, place)
            how = sidecars.rewrite(place, content)
        else:
            how = sidecars.write_new(place, sidecars.followed(root, action.follows, content, companion.facts))
        if how == "changed":
            self._journal(action, f"merged: {action.reason}")
        if companion.is_sidecar:
            sidecars.remember(root, companion.path, content)
        sha256 = hash_file(place)
        if action.verb is Verb.WRITE:
            self._respell(action)
            look = self._looks.of_file(action.model, sha256)
            new = how == "written"  # one that is written again keeps the mode that it has
            give_look(place, look_beside(place.parent, look) if new else replace(look, mode=None))
        entry = receipt.note(
            place,
            path=action.path,
            sha256=sha256,
            how=MERGED if action.verb is Verb.MERGE or action.follows else "written",
            model=action.model,
            made=companion.made,
            sampled=self._trees[action.target].reproducible,
        )
        self._ledger.put(action.target, entry)
        return how

    # -- removals ----------------------------------------------------------------------------------

    def _prune(self, action: Action) -> str | None:
        """Remove a placed file that is no longer wanted; where the store lacks its bytes, they move there first."""
        place = self._reach(action)
        root, entry = self._trees[action.target].root, self._listed(action.target)[action.path]
        if entry.how == ADOPTED and place.is_symlink():
            self._ledger.drop(action.target, action.path)
            return "kept: your own symbolic link"
        if not os.path.lexists(place):
            self._ledger.drop(action.target, action.path)
            return "already gone"
        if not is_spelled(root, action.path):
            # A file system that ignores case shows another file by this name: perhaps the one that replaced it.
            self._ledger.drop(action.target, action.path)
            return "kept: its name on disk differs by case only"
        self._still_ours(action, place)
        # The journal comes first: a line without its act is harmless, an act without its line is not.
        self._journal(action, action.reason or "")
        self._rescue(action, place)
        # The rescue may have moved the file into the store already.
        remove(place, missing_ok=True)
        # The entry goes last: after a crash before this the next sync finds the file gone and forgets it.
        self._ledger.drop(action.target, action.path)
        if entry.made is not None:
            sidecars.forget(root, SafePath(action.path))
        self._tidy(action)
        # The user made this file, and the store may have its only copy now: that must not be a surprise.
        kept = entry.how == TAKEN and self._has_blob(action)
        return f"{action.reason}; its bytes are in the store" if kept else None

    def _rescue(self, action: Action, place: Path) -> None:
        """Move the only copy of some bytes into the store before it leaves the tree."""
        entry = self._entry(action)
        if entry is None or place.is_symlink() or entry.made is not None or self._store.has(entry.sha256):
            return
        if entry.sha256 == action.sha256 and self._blob_beside(action):
            return  # a file of an earlier version becomes a link: its bytes are in the tree already
        self._store.import_file(place, sha256=entry.sha256, move=True)

    def _tidy(self, action: Action) -> None:
        """Remove the directories that a removal left empty, but none that belongs to a UI."""
        root = self._trees[action.target].root
        parts = SafePath(action.path).parts[:-1]
        while parts and "/".join(parts) not in self._folders:
            try:
                root.joinpath(*parts).rmdir()
            except OSError:
                return
            parts = parts[:-1]

    # -- looking once more ----------------------------------------------------------------------------

    def _reach(self, action: Action) -> Path:
        """The path on disk; raises `Conflict` if the way to it is barred or changed since it was observed."""
        tree, real = self._trees[action.target], self._observed[(action.target, action.path)].real
        return walk_again(tree.root, SafePath(action.path), real, tree.barred)

    def _make_way(self, action: Action) -> Path:
        """Like `_reach`, and the directories that are missing are made."""
        tree, real = self._trees[action.target], self._observed[(action.target, action.path)].real
        return make_way(tree.root, SafePath(action.path), real, tree.barred)

    def _still_ours(self, action: Action, place: Path) -> None:
        """Look again right before a file is replaced or removed: minutes may have passed since it was observed."""
        entry = self._entry(action)
        if entry is None:
            raise Conflict(f"`{action.path}` in target `{action.target}` is not in the receipt; left as it is")
        state = receipt.matches(str(place), entry)
        known = self._observed[(action.target, action.path)]
        if known.theirs:
            raise Conflict(f"`{action.path}` in target `{action.target}` is not synapse's; left as it is")
        refreshed = known.state is State.PLACED and known.sha256 in (entry.sha256, None)
        if state == "changed" and not (refreshed and self._same_content(place, entry)):
            raise Conflict(f"`{action.path}` in target `{action.target}` has just been changed; left as it is")

    def _same_content(self, place: Path, entry: ReceiptEntry) -> bool:
        if place.is_symlink() and not place.exists():
            return entry.link is not None and str(place.readlink()) == entry.link
        return hash_file(place) == entry.sha256

    # -- memory ------------------------------------------------------------------------------------

    def _listed(self, target: str) -> Mapping[str, ReceiptEntry]:
        """The entries of a target's receipt as they will be written."""
        return self._ledger.entries(target)

    def _spelled(self, action: Action) -> str | None:
        """The spelling under which the receipt lists the file of this path, if that is another one."""
        spelled = self._observed[(action.target, action.path)].spelled
        return spelled if spelled in self._listed(action.target) else None

    def _entry(self, action: Action) -> ReceiptEntry | None:
        """The receipt's entry for the file of this path, in whichever spelling."""
        listed = self._listed(action.target)
        spelled = self._spelled(action)
        return listed.get(action.path) or (listed[spelled] if spelled is not None else None)

    def _own(self, action: Action, place: Path, how: str) -> None:
        """List a weights file that is in place now."""
        self._respell(action)
        sampled = self._trees[action.target].reproducible
        entry = receipt.note(
            place, path=action.path, sha256=action.sha256, how=how, model=action.model, sampled=sampled
        )
        self._ledger.put(action.target, entry)

    def _respell(self, action: Action) -> None:
        """Where only the spelling of a path has changed, change it on disk too, and drop the old one."""
        if (spelled := self._spelled(action)) is None:
            return
        root, listed = self._trees[action.target].root, self._listed(action.target)
        respell_path(root, action.path, listed=listed, keep=self._folders)
        self._unsettled.add(SafePath(action.path).under(root).parent)
        self._ledger.drop(action.target, spelled)

    def _journal(self, action: Action, why: str) -> None:
        tree = self._trees[action.target]
        journal.append(
            tree.root, verb=action.verb.value, path=action.path, sha256=action.sha256, why=why,
            command=self._command, dated=not tree.reproducible,
        )  # fmt: skip

    def write_receipts(self, *, whole: bool = True) -> None:
        """Make new names durable, then write the receipt of every target that changed; raises what failed.

        Unless `whole`, a log may have the latest changes.

        In this order: a receipt that lists a name which a power loss took would call a file missing that synapse
        never placed durably. One target that cannot be written does not stop the others.
        """
        self._changes = 0
        errors: list[SynapseError] = []
        while self._unsettled:
            directory = self._unsettled.pop()
            try:
                fsync_dir(directory)
            except OSError as error:
                errors.append(storage_error(error, f"placing files in {directory}"))
        errors += self._ledger.write() if whole else self._ledger.save()
        if whole:  # after the first receipt, which makes a directory in the root
            listed = ((tree.root, self._ledger.entries(name)) for name, tree in self._trees.items())
            errors += settle_folders(self._touched, listed)
        raise_all(errors)

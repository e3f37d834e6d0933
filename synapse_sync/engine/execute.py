"""Execute: carry out a plan. The only verb that changes a target; every change goes into the receipt."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from synapse_sync.core.companion import Companion, LeftOut
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import MERGED, Action, Key, Observed, Plan, State, Verb
from synapse_sync.core.report import Outcome, Report, conflict_error
from synapse_sync.core.reporter import Reporter
from synapse_sync.engine.observe import obstruction
from synapse_sync.engine.trees import Tree
from synapse_sync.errors import Conflict, StorageError, SynapseError, raise_all
from synapse_sync.layouts import LAYOUTS
from synapse_sync.store import journal, links, receipt, sidecars
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import fsync_dir, rename_new, storage_error
from synapse_sync.store.hashing import hash_file
from synapse_sync.store.projects import records
from synapse_sync.transfer.want import Fetcher, Got, want_of

#: Brings the content of companions, or says why one has to be left out.
Bringer = Callable[[Sequence[Companion]], Mapping[Key, bytes | LeftOut]]
#: The receipt is written after so many changes, so that a crash loses little memory (never bytes).
_EVERY = 200


def execute(
    plan: Plan,
    trees: Mapping[str, Tree],
    observed: Mapping[Key, Observed],
    *,
    store: BlobStore,
    fetch: Fetcher,
    bring: Bringer = lambda companions: {},
    reporter: Reporter,
    command: str = "sync",
    pickles: Collection[str] = (),
) -> Report:
    """Do what the plan says: bring the blobs, place them, write companions, prune.

    A failure stops its own path, never the others; a companion whose content cannot be had is left out.

    `pickles` names the models whose files may be pickles, whatever they are called. Nothing is pruned in a run
    that had an error. The receipts are written whatever happens, also on Ctrl-C.
    """
    run = _Run(trees=trees, observed=observed, store=store, reporter=reporter, command=command, pickles=pickles)
    supply = plan.of(Verb.FETCH, Verb.SALVAGE)
    run.supply(supply, fetch)
    run.uses = Counter(action.sha256 for action in plan.of(Verb.PLACE, Verb.REPLACE))
    try:
        for action in plan.actions:
            if action.verb in (Verb.PLACE, Verb.REPLACE, Verb.ADOPT, Verb.CONFLICT):
                run.attempt(action)
        run.accompany(plan.of(Verb.WRITE, Verb.MERGE), bring)
        failed = any(outcome.error is not None for outcome in run.outcomes)
        for action in plan.of(Verb.PRUNE, Verb.FORGET, Verb.KEEP):
            if failed:
                run.outcomes.append(Outcome(action=action, detail="not now: something else failed"))
                continue
            run.attempt(action)
    finally:
        run.write_receipts()
    return Report(
        plan=plan,
        outcomes=tuple(run.outcomes),
        warnings=tuple(run.warnings),
        fetched_bytes=run.fetched,
        unfinished=run.unfinished,
    )


@dataclass(slots=True)
class _Run:
    """One execution: what was done so far. The only mutable thing here."""

    trees: Mapping[str, Tree]
    observed: Mapping[Key, Observed]
    store: BlobStore
    reporter: Reporter
    command: str
    pickles: Collection[str] = ()
    outcomes: list[Outcome] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failed: dict[str, SynapseError] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    entries: dict[str, dict[str, receipt.ReceiptEntry]] = field(default_factory=dict)
    contents: Mapping[Key, bytes | LeftOut] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)  # blobs that the store has
    unsettled: set[Path] = field(default_factory=set)  # directories with new names in them
    changes: int = 0
    fetched: int = 0
    unfinished: bool = False

    def supply(self, actions: Sequence[Action], fetch: Fetcher) -> None:
        """Bring every needed blob into the store; what cannot be had is remembered for those who wanted it."""
        missing = [action for action in actions if not (action.verb is Verb.SALVAGE and self._salvage(action))]
        wants = [
            want_of(a.artifact, f"{a.model} ({a.artifact.filename})", allow_pickle=a.model in self.pickles)
            for a in missing
            if a.artifact is not None
        ]
        for action, got in zip(missing, fetch(wants) if wants else (), strict=True):
            error = got.about(action.model) if isinstance(got, SynapseError) else None
            if error is not None:
                self.failed[action.sha256] = error
            else:
                self.fetched += got.fetched_bytes if isinstance(got, Got) else 0
                self.seen.add(action.sha256)
            taken = got.taken_from if isinstance(got, Got) else None
            self._note(Outcome(action=action, error=error, detail=f"from {taken}" if taken else None))

    def _salvage(self, action: Action) -> bool:
        """Copy a blob back from a path of ours that has the same bytes; False if none has."""
        for (target, path), found in self.observed.items():
            if found.sha256 != action.sha256 or found.state not in (State.PLACED, State.FOREIGN, State.ALTERED):
                continue
            try:
                self.store.import_file(SafePath(path).under(self.trees[target].root), sha256=action.sha256)
            except (SynapseError, OSError):
                continue
            self._note(Outcome(action=action, detail=f"from {path}"))
            return True
        return False

    def accompany(self, actions: Sequence[Action], bring: Bringer) -> None:
        """Write the companions of the weights that are in place."""
        absent = {(o.action.target, o.action.path) for o in self.outcomes if o.error is not None}
        ready: list[Action] = []
        for action in actions:
            assert action.companion is not None
            if (action.target, action.companion.beside.text) in absent:
                self._note(Outcome(action=action, detail="its model is not there", left_out=True))
            else:
                ready.append(action)
        self.contents = bring([action.companion for action in ready if action.companion is not None])
        for action in ready:
            content = self.contents[(action.target, action.path)]
            if isinstance(content, LeftOut):
                self._leave_out(action, content)
            else:
                self.attempt(action)

    def _leave_out(self, action: Action, left: LeftOut) -> None:
        assert action.companion is not None
        self.unfinished |= left.passing
        self.warnings.append(f"`{action.model}`: no {action.companion.kind}: {left.why}")
        self._note(Outcome(action=action, detail=left.why, left_out=True))

    def attempt(self, action: Action) -> None:
        """Carry out one action on a path, and note what became of it."""
        try:
            detail = self._do(action)
            outcome = Outcome(action=action, detail=detail)
        except SynapseError as error:
            outcome = Outcome(action=action, error=error.about(action.model))
        except OSError as error:
            outcome = Outcome(
                action=action, error=storage_error(error, f"placing `{action.path}`").about(action.model)
            )
        self._note(outcome)
        self.changes += 1
        if self.changes % _EVERY == 0:
            self.write_receipts()

    def _note(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.reporter.action_done(outcome)

    def _do(self, action: Action) -> str | None:
        match action.verb:
            case Verb.PLACE:
                return self._place(action, replace_it=False)
            case Verb.REPLACE:
                return self._replace(action)
            case Verb.ADOPT:
                return self._adopt(action)
            case Verb.WRITE | Verb.MERGE:
                return self._accompany(action)
            case Verb.PRUNE:
                return self._prune(action)
            case Verb.FORGET | Verb.KEEP:
                self._entries(action.target).pop(action.path, None)
                return action.reason
            case _:
                raise conflict_error(action)

    # -- the single steps --------------------------------------------------------------------------

    def _place(self, action: Action, *, replace_it: bool) -> str:
        if (error := self.failed.get(action.sha256)) is not None:
            raise error
        tree = self.trees[action.target]
        destination = links.safe_parent(tree.root, SafePath(action.path), create=True)
        mode = action.link_mode
        self.uses[action.sha256] -= 1
        if not replace_it and (how := self._twin(action, destination)) is not None:
            self._own(action, destination, how)
            return how
        if mode.empties_store and (self.uses[action.sha256] > 0 or self._is_linked(action)):
            mode = LinkMode.COPY  # others still need the blob: the last one moves it
        blob = self.store.path(action.sha256)
        if not self._stored(action):
            raise StorageError(f"the store lost {action.sha256[:12]}… while it was needed", hint="sync again")
        how = links.place(blob, destination, mode, replace=replace_it, settle=False)
        self.unsettled.add(destination.parent)
        # A file of its own is what `move` promises, whoever else kept the blob in the store.
        self._own(action, destination, action.link_mode if action.link_mode.empties_store else how)
        return how

    def _stored(self, action: Action) -> bool:
        """Whether the store has the blob; what this run has seen there is not looked at again."""
        if action.sha256 not in self.seen and self.store.has(action.sha256, action.size):
            self.seen.add(action.sha256)
        return action.sha256 in self.seen

    def _twin(self, action: Action, destination: Path) -> str | None:
        """How another target below whose root this lies has just placed this very file; None if none has."""
        for target, tree in self.trees.items():
            if target == action.target:
                path = action.path
            elif destination.is_relative_to(tree.root):
                path = destination.relative_to(tree.root).as_posix()
            else:
                continue
            entry = self._entries(target).get(path)
            if entry is not None and entry.sha256 == action.sha256:
                return entry.how if receipt.matches(str(destination), entry) == "same" else None
        return None

    def _is_linked(self, action: Action) -> bool:
        """Whether a symbolic link may lead to the blob: one of ours that stays, or any of another project."""
        for target, tree in self.trees.items():
            for path, entry in self._entries(target).items():
                here = tree.root == self.trees[action.target].root and path == action.path
                if not here and entry.how == "symlink" and entry.sha256 == action.sha256:
                    return True
        own = {tree.receipt.project for tree in self.trees.values()}
        roots = {
            Path(root)
            for key, record in records(self.store.root)
            if not any(name.startswith(f"{key}-") for name in own)
            for root in record.every_root.values()
        }
        return any(action.sha256 in receipt.all_digests(root) for root in roots)

    def _replace(self, action: Action) -> str:
        """Put the wanted bytes in the place of ours; with `--force`, of somebody's, which moves aside."""
        found = self.observed[(action.target, action.path)]
        if (error := self.failed.get(action.sha256)) is not None:
            raise error
        place = self._reach(action)
        if found.state is State.PLACED:
            self._still_ours(action, place)
            entry = self._entries(action.target)[action.path]
            rescued = self._rescue(action, place)
            self._journal(action, f"replaced: {action.reason}")
            try:
                return self._place(action, replace_it=True)
            except BaseException:
                if rescued and not os.path.lexists(place):
                    links.place(self.store.path(entry.sha256), place, LinkMode.MOVE)
                raise
        aside = set_aside(place)
        self._journal(action, f"moved aside to {aside.name}: {action.reason}")
        try:
            how = self._place(action, replace_it=False)
        except BaseException:
            with contextlib.suppress(OSError):
                rename_new(aside, place)
            raise
        return f"{how}; the file that was there is now `{aside.name}`"

    def _adopt(self, action: Action) -> str:
        place = self._reach(action)
        how = self._how(place, action)
        self._own(action, place, how)
        return how

    def _how(self, place: Path, action: Action) -> str:
        """In which way a file that is right already is placed: perhaps by us, before a crash."""
        blob = self.store.path(action.sha256)
        if place.is_symlink():
            return "symlink" if str(place.readlink()) == str(blob) else "adopted"
        if blob.exists() and place.samefile(blob):
            return "hardlink"
        return "adopted"

    def _accompany(self, action: Action) -> str | None:
        """Write one companion, or bring one up to date that holds words of others."""
        companion, content = action.companion, self.contents[(action.target, action.path)]
        assert companion is not None
        assert isinstance(content, bytes)
        root = self.trees[action.target].root
        place = links.safe_parent(root, SafePath(action.path), create=True)
        if action.verb is Verb.MERGE:
            how = sidecars.merge_into(place, content, sidecars.base_path(root, companion.path))
        elif self.observed[(action.target, action.path)].state is State.PLACED:
            self._still_ours(action, place)
            how = sidecars.rewrite(place, content)
        else:
            how = sidecars.write_new(place, content)
        if how == "changed":
            self._journal(action, f"merged: {action.reason}")
        if companion.kind != "preview":
            sidecars.remember(root, companion.path, content)
        self._entries(action.target)[action.path] = receipt.note(
            place,
            path=action.path,
            sha256=hash_file(place),
            how=MERGED if action.verb is Verb.MERGE else "written",
            model=action.model,
            made=companion.made,
        )
        return how

    def _prune(self, action: Action) -> str | None:
        """Take away what we placed and nobody wants; where the store lacks the bytes, they move there first."""
        place = self._reach(action)
        entry = self._entries(action.target)[action.path]
        if entry.how == "adopted" and place.is_symlink():
            self._entries(action.target).pop(action.path)
            return "left: a link that you made"
        if not os.path.lexists(place):
            self._entries(action.target).pop(action.path)
            return "already gone"
        if place.name not in os.listdir(place.parent):
            # A file system that ignores case shows another file by this name: perhaps the one that replaced it.
            self._entries(action.target).pop(action.path)
            return "left: its name differs by case only"
        self._still_ours(action, place)
        self._rescue(action, place)
        self._journal(action, action.reason or "")
        place.unlink(missing_ok=True)
        self._entries(action.target).pop(action.path)
        if entry.made is not None:
            sidecars.forget(self.trees[action.target].root, SafePath(action.path))
        self._tidy(action)
        return None

    def _rescue(self, action: Action, place: Path) -> bool:
        """Move into the store what is about to leave the tree, if this is its only copy; tells whether it was."""
        entry = self._entries(action.target)[action.path]
        if place.is_symlink() or entry.made is not None or self.store.has(entry.sha256, entry.size):
            return False
        self.store.import_file(place, sha256=entry.sha256, move=True)
        return True

    def _still_ours(self, action: Action, place: Path) -> None:
        """Look once more, right before the file goes: minutes may have passed since it was observed."""
        entry = self._entries(action.target).get(action.path)
        if entry is None:
            raise Conflict(f"`{action.path}` in target `{action.target}` is not in our receipt; left as it is")
        state = receipt.matches(str(place), entry)
        known = self.observed[(action.target, action.path)]
        refreshed = known.state is State.PLACED and known.sha256 in (entry.sha256, None)
        if state == "changed" and not (refreshed and self._same_content(place, entry)):
            raise Conflict(f"`{action.path}` in target `{action.target}` has just been changed; left as it is")

    def _same_content(self, place: Path, entry: receipt.ReceiptEntry) -> bool:
        if place.is_symlink() and not place.exists():
            return entry.link is not None and str(place.readlink()) == entry.link
        return hash_file(place) == entry.sha256

    def _reach(self, action: Action) -> Path:
        """The path on disk, if no link or file bars the way to it."""
        root = self.trees[action.target].root
        path = SafePath(action.path)
        if (obstacle := obstruction(root, path)) is not None:
            raise Conflict(f"`{action.path}` in target `{action.target}`: {obstacle}; left as it is")
        return path.under(root)

    def _tidy(self, action: Action) -> None:
        """Remove the directories that this left empty, but none that belongs to any UI."""
        tree = self.trees[action.target]
        folders = {f for layout in LAYOUTS.values() for names in layout.folders.values() for f in names}
        keep = {"/".join(parts[: n + 1]) for parts in (f.split("/") for f in folders) for n in range(len(parts))}
        parts = SafePath(action.path).parts[:-1]
        while parts and "/".join(parts) not in keep:
            try:
                tree.root.joinpath(*parts).rmdir()
            except OSError:
                return
            parts = parts[:-1]

    # -- memory ------------------------------------------------------------------------------------

    def _entries(self, target: str) -> dict[str, receipt.ReceiptEntry]:
        if target not in self.entries:
            self.entries[target] = dict(self.trees[target].receipt.entries)
        return self.entries[target]

    def _own(self, action: Action, place: Path, how: str) -> None:
        entry = receipt.note(place, path=action.path, sha256=action.sha256, how=how, model=action.model)
        self._entries(action.target)[action.path] = entry

    def _journal(self, action: Action, why: str) -> None:
        root = self.trees[action.target].root
        journal.append(
            root, verb=action.verb.value, path=action.path, sha256=action.sha256, why=why, command=self.command
        )

    def write_receipts(self) -> None:
        """Make what was placed durable, then write the receipt of every target that changed."""
        errors: list[SynapseError] = []
        while self.unsettled:
            directory = self.unsettled.pop()
            try:
                fsync_dir(directory)
            except OSError as error:
                errors.append(storage_error(error, f"placing files in {directory}"))
        for target, entries in self.entries.items():
            tree = self.trees[target]
            try:
                if entries != tree.receipt.entries:
                    receipt.write(tree.root, replace(tree.receipt, entries=entries, complete=None))
            except SynapseError as error:
                errors.append(error)
        raise_all(errors)


def set_aside(place: Path) -> Path:
    """Rename a file to a name that says what happened, never over another one; returns the new path."""
    for number in range(1, 10_000):
        aside = place.with_name(f"{place.name}.set-aside-{number}")
        if not aside.exists() and not aside.is_symlink():
            place.rename(aside)
            return aside
    raise Conflict(f"{place} cannot be moved aside: too many files were already")


def refresh(tree: Tree, observed: Mapping[Key, Observed], complete: str | None) -> int:
    """Write a receipt whose stats are those of now, and that says which state it completes.

    Returns how many files it lists.
    """
    current = receipt.read(tree.root, tree.receipt.project) or tree.receipt
    entries = dict(current.entries)
    for path, entry in current.entries.items():
        found = observed.get((tree.target.name, path))
        place = SafePath(path).under(tree.root)
        if found is not None and found.state is State.PLACED and receipt.matches(str(place), entry) == "changed":
            mode = os.lstat(place).st_mode
            if stat.S_ISREG(mode) or place.exists():
                entries[path] = receipt.note(
                    place, path=path, sha256=entry.sha256, how=entry.how, model=entry.model, made=entry.made
                )
    if entries != current.entries or current.complete != complete:
        receipt.write(tree.root, replace(current, entries=entries, complete=complete))
    return len(entries)

"""Verify: hash content again and compare. Bad blobs and files are set aside, never deleted, never used."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import ADOPTED, CLAIMED, WITHIN
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Key, Observed, Placement, State
from synapse_sync.core.reference import Reference
from synapse_sync.core.report import OTHER_TARGETS, Report, lock_what_is_there
from synapse_sync.core.reporter import Reporter
from synapse_sync.core.size_text import count_text, size_text
from synapse_sync.engine.observe import is_own_source
from synapse_sync.engine.parallel import ALONE, Part
from synapse_sync.errors import IntegrityError, SynapseError
from synapse_sync.store.aside import clear_bad, give_back
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import storage_error, where_writable
from synapse_sync.store.hashing import Answer, Question, answer_or_no
from synapse_sync.store.ownership import Tree, is_outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The result: how many files were hashed, errors, and lines on files set aside.

    `size` are the bytes of these files, `bytes` those that were read: a copy is read besides its blob. `blobs` and
    `stored` are the number and the bytes of the store's blobs, where all of them were hashed. `good` are the
    digests of the files that are right, with a path of each. `warnings` are about files that are something else
    than their site says.
    """

    files: int
    size: int
    bytes: int
    blobs: int = 0
    stored: int = 0
    bad: tuple[SynapseError, ...] = ()
    set_aside: tuple[str, ...] = ()
    report: Report | None = None
    good: Mapping[str, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every file is right, or was repaired."""
        return not self.bad if self.report is None else self.report.ok

    def summary(self) -> str:
        """Return one line: how much was hashed, and the result."""
        hashed = f"verified {count_text(self.files, 'file')}, {size_text(self.size)}"
        if self.blobs:
            hashed += f" and {count_text(self.blobs, 'blob')} of the store, {size_text(self.stored)}"
        if self.report is not None:
            return f"{hashed}: {'repaired' if self.ok else 'some files could not be repaired'}"
        return f"{hashed}: {count_text(len(self.bad), 'problem') if self.bad else 'all good'}"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as `synapse verify --json` prints it."""
        return {
            "files": self.files + self.blobs,
            "bytes": self.bytes,
            "bad": [error.to_dict() for error in self.bad],
            "set_aside": list(self.set_aside),
            "warnings": list(self.warnings),
            "repair": None if self.report is None else self.report.to_dict(),
        }

    def __repr__(self) -> str:
        return f"<Verification: {self.summary()}>"


def verify_tree(
    placements: Sequence[Placement],
    observed: Mapping[Key, Observed],
    trees: Mapping[str, Tree],
    *,
    store: BlobStore,
    reporter: Reporter,
    locate: Callable[[Reference], str | None],
    repair: bool = False,
    part: Part = ALONE,
) -> Verification:
    """Hash the content of every wanted file, and of every blob behind one.

    `observed` are the states of the `placements` in `trees`. A blob with wrong content goes to quarantine in any
    case, unless somebody changed it through a link in a tree: then it stays, and nothing uses it. With `repair`, a
    wrong file that synapse placed moves aside, so that a sync can place the right one. Others stay as they are, and
    so does one that is its own source: no place has its bytes. `reporter` receives the name of each file, `locate`
    returns the path of a local source. `part` says which files, and where they are hashed. Raises `StorageError`.
    """
    placements = [each for each in placements if part.shard.has(each.artifact.sha256)]
    run = _Run(store=store, reporter=reporter, trees=trees, locate=locate, repair=repair)
    run.placed = {key: found.sha256 for key, found in observed.items() if found.state is State.PLACED}
    altered = (p for p in placements if observed[p.key].state is State.ALTERED and observed[p.key].link is not None)
    run.edited = frozenset(placement.artifact.sha256 for placement in altered)
    # No sync moves a directory, or follows a link into another target.
    barred = f"move or rename what is in the way, or {OTHER_TARGETS}, and sync again"
    absent = (State.ABSENT, State.MISSING, State.OBSTRUCTED)
    run.read_ahead([each for each in placements if observed[each.key].state not in absent], part)
    for placement in placements:
        found = observed[placement.key]
        if found.state is State.PLACED and found.how == WITHIN and _is_checked(placement, observed):
            continue  # its bytes are checked at the path that it leads to
        if found.state in absent:
            run.bad.append(
                IntegrityError(
                    f"`{placement.path}` in target `{placement.target}`: {found.detail or 'missing'}",
                    hint=barred
                    if found.state is State.OBSTRUCTED
                    else "`synapse sync` or `synapse verify --repair` places it",
                    subject=placement.model,
                )
            )
            continue
        try:
            run.check(placement, found)
        except OSError as error:
            run.bad.append(storage_error(error, f"reading `{placement.path}`").about(placement.model))
    return run.result()


def _is_checked(placement: Placement, observed: Mapping[Key, Observed]) -> bool:
    """Whether a link leads to another path of the same verification, where a file is."""
    if placement.leads_to is None or not placement.accepts(observed[placement.key]):
        return False
    blob = observed.get((placement.target, placement.leads_to.text))
    return blob is not None and blob.state in (State.PLACED, State.ALTERED, State.FOREIGN)


def verify_store(
    root: Path, *, others: Sequence[Path] = (), repair: bool = True, part: Part = ALONE
) -> Verification:
    """Hash every blob of the store at `root`, and of the `others`; with `repair` bad ones go to quarantine.

    `part` says which blobs, and where they are hashed.
    """
    files = size = 0
    bad: list[SynapseError] = []
    aside: list[str] = []
    for store in [BlobStore(place) for place in (root, *others)]:
        questions = [store.question(e.path, e.sha256) for e in store.entries() if part.shard.has(e.sha256)]
        for question, answer in part.each(answer_or_no, questions):
            sha256 = question.sha256
            files, size = files + 1, size + answer.size
            if answer.right:
                _noted(store, sha256, answer)
            # Only this process may call a blob bad: a worker may see another file, or none, under its path.
            if answer.right or store.verify(sha256):
                continue
            bad.append(IntegrityError(f"blob {sha256[:16]}… does not have the content of its name"))
            if repair and (where := _quarantine(store, sha256, "content does not match its digest")) is not None:
                aside.append(f"blob {sha256[:16]}… → {where}")
    return Verification(files=files, size=size, bytes=size, bad=tuple(bad), set_aside=tuple(aside))


def _noted(store: BlobStore, sha256: str, answer: Answer) -> None:
    """Note that a blob is right; one that has just left the store needs no note. Raises `StorageError`."""
    try:
        store.heard(sha256, answer)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, "reading the store") from error


def _quarantine(store: BlobStore, sha256: str, why: str) -> Path | None:
    """Set a bad blob aside; None if there is none, or if this user may only read the store."""
    aside: Path | None = None
    with where_writable():
        aside = store.quarantine(sha256, why)
    return aside


def _can_see(path: Path) -> bool:
    """Whether a file exists, as far as this user may look: the store of an image may be another user's own."""
    try:
        return path.exists()
    except PermissionError:
        return False


@dataclass(slots=True)
class _Run:
    """One verification: each blob and each file is hashed once."""

    store: BlobStore
    reporter: Reporter
    trees: Mapping[str, Tree]
    locate: Callable[[Reference], str | None]
    repair: bool
    placed: Mapping[Key, str | None] = field(default_factory=dict)
    edited: frozenset[str] = frozenset()  # blobs that somebody changed through a link: nothing uses them
    blobs: dict[str, bool] = field(default_factory=dict)
    inodes: dict[tuple[int, int, str], bool] = field(default_factory=dict)
    bad: list[SynapseError] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    good: dict[str, Path] = field(default_factory=dict)
    files: int = 0
    size: int = 0
    bytes: int = 0

    def result(self) -> Verification:
        """The result so far."""
        return Verification(
            files=self.files,
            size=self.size,
            bytes=self.bytes,
            bad=tuple(self.bad),
            set_aside=tuple(self.aside),
            good=self.good,
        )

    def read_ahead(self, placements: Sequence[Placement], part: Part) -> None:
        """Hash the large files of these placements, and their blobs, several at once.

        Only right ones are noted. All others are hashed once more when they are checked: then it is decided.
        """
        questions: dict[Question, tuple[int, int, str]] = {}
        for placement in placements:
            sha256 = placement.artifact.sha256
            place = SafePath(placement.path.text).under(self.trees[placement.target].root)
            for path in (place, self.store.path(sha256)):
                with contextlib.suppress(OSError):
                    found = path.stat()
                    if found.st_size >= part.smallest and stat.S_ISREG(found.st_mode):
                        key = (found.st_dev, found.st_ino, sha256)
                        questions.setdefault(self.store.question(path, sha256), key)
        first = {key: question for question, key in reversed(questions.items())}
        for question, answer in part.each(answer_or_no, list(first.values())):
            if answer.right:
                self.inodes[questions[question]] = True
                self.bytes += answer.size
                with contextlib.suppress(OSError):
                    self.store.learn(question.sha256, answer)

    def check(self, placement: Placement, found: Observed) -> None:
        """Hash one file, unless it is a blob that was hashed already."""
        sha256 = placement.artifact.sha256
        root = self.trees[placement.target].root
        place = SafePath(placement.path.text).under(root)
        self.reporter.phase(f"verifying {placement.path}")
        blob = self.store.path(sha256)
        self.files += 1
        stored = _can_see(blob)
        linked = stored and place.exists() and place.samefile(blob)
        good = False
        if place.exists():
            good = self._inode(place, sha256)
            self.size += place.stat().st_size
        if stored and not linked and sha256 not in self.blobs:
            self._check_blob(placement, blob)
        if good:
            self.good[sha256] = place
            return
        tree = self.trees[placement.target]
        entry = tree.entry(placement.path.text)
        adopted = entry is not None and entry.how == ADOPTED
        claimed = entry is not None and entry.how == CLAIMED
        theirs = found.theirs or claimed or (adopted and is_outside(tree, placement.path))
        stuck = self._is_stuck(placement, place, stored=stored and not linked and self.blobs[sha256])
        hint = None if self.repair else "`synapse verify --repair` sets it aside and places it again"
        if theirs:
            hint = "it was there before synapse: move it away and run `synapse sync`"
        own = linked and place.is_symlink() and self._is_own(placement, place)
        if stuck or own:
            hint = lock_what_is_there(placement.model)
        self.bad.append(
            IntegrityError(
                f"`{placement.path}` in target `{placement.target}`: the content is not what the lockfile says",
                hint=hint,
                subject=placement.model,
            )
        )
        if linked and not own and sha256 in self.edited and not self.repair:
            return
        ours = place.is_symlink() and entry is not None and entry.link == str(place.readlink())
        if linked and (where := self._quarantine(sha256)) is not None and own:
            # Its path is the only source of these bytes: a dangling link would be all that is left of them.
            why = "bad content of its own source, moved back out of the store"
            give_back(tree, placement.path, found.real, where, sha256=sha256, why=why, command="verify")
            self.aside[-1] = f"{placement.path}: its own bytes, back at this path, and no longer in the store"
            return
        # synapse moves only files that it placed
        if self.repair and found.state is not State.FOREIGN and not theirs and not stuck:
            kept = linked or ours or (place.exists() and self.store.has_aside(sha256, place))
            self._clear(placement, found.real, keep=not kept)

    def _check_blob(self, placement: Placement, blob: Path) -> None:
        """Hash a blob that has no name in the tree; a bad one goes to quarantine."""
        sha256 = placement.artifact.sha256
        self.blobs[sha256] = self._inode(blob, sha256)
        if self.blobs[sha256]:
            return
        hint = "it was set aside; `synapse sync` downloads it again when it is needed"
        if sha256 in self.edited and not self.repair:
            hint = "somebody changed it through a link, where it stays; `synapse verify --repair` sets it aside"
        elif self._quarantine(sha256) is None:
            hint = "you may only read this store: its owner can set the file aside with `synapse verify`"
        what = f"the store's copy of `{placement.artifact.filename}` does not have the right content"
        self.bad.append(IntegrityError(what, hint=hint, subject=placement.model))

    def _is_stuck(self, placement: Placement, place: Path, *, stored: bool) -> bool:
        """Whether a wrong file must stay: it is its own source, and neither the store nor a tree has its bytes."""
        sha256 = placement.artifact.sha256
        if stored or any(known == sha256 and key != placement.key for key, known in self.placed.items()):
            return False
        return is_own_source(placement.artifact, place, self.locate)

    def _is_own(self, placement: Placement, place: Path) -> bool:
        """Whether a link to a blob is at the path that is the only source of the blob."""
        places = placement.artifact.locations
        sources = [self.locate(each) if each.source == "path" else None for each in places]
        try:
            return bool(sources) and all(each is not None and Path(each).samefile(place) for each in sources)
        except OSError:
            return False

    def _inode(self, path: Path, sha256: str) -> bool:
        """Whether a file has this content; a file with several names is read once."""
        found = path.stat()
        key = (found.st_dev, found.st_ino, sha256)
        if key not in self.inodes:
            self.bytes += found.st_size
            self.inodes[key] = self.store.matches(path, sha256)
        return self.inodes[key]

    def _quarantine(self, sha256: str) -> Path | None:
        where = _quarantine(self.store, sha256, "found bad by verify")
        if where is not None:
            self.aside.append(f"blob {sha256[:16]}… → {where}")
        return where

    def _clear(self, placement: Placement, real: str | None, *, keep: bool) -> None:
        """Free a path: a name whose bytes are in quarantine is removed, any other content moves aside."""
        tree = self.trees[placement.target]
        sha256 = placement.artifact.sha256
        aside = clear_bad(tree, placement.path, real, sha256=sha256, keep=keep, command="verify")
        if aside is not None:
            self.aside.append(f"{placement.path} → {aside}")

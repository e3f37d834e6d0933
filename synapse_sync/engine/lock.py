"""Lock: requirements in, a lockfile out. Only changes since the last lock cost requests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from synapse_sync.core.findings import grouped_texts
from synapse_sync.core.freshness import Change, expected, missing_changes, stale_entries, with_renamed
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lock_diff import LockDiff, diff_lockfiles
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.lockfile_repair import repair_lockfile
from synapse_sync.core.manifest.values import Manifest, Requirement, WorkspaceOptions
from synapse_sync.core.reference import Reference
from synapse_sync.core.rules import violations
from synapse_sync.core.shared_files import shared_files
from synapse_sync.core.size_text import count_text
from synapse_sync.core.true_sizes import with_true_sizes
from synapse_sync.engine.choose import Chosen, Heard, ask_all, choose, question
from synapse_sync.engine.heal import Place, find_locations
from synapse_sync.engine.include import bring_includes
from synapse_sync.engine.local_files import LocalFiles, gone_files
from synapse_sync.engine.optional import optional_names, required_only, to_leave_out, warning
from synapse_sync.engine.part import unknown_model
from synapse_sync.engine.pin import pin
from synapse_sync.engine.remember import note_lock
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InvalidLockfile, Several, StatusError, SynapseError, WrongContent, raise_all
from synapse_sync.project import Project
from synapse_sync.sources.base import Resolved, Source, raise_in_words
from synapse_sync.store.blobs import BlobStore
from synapse_sync.transfer.want import Got, Measurer, Member, Want
from synapse_sync.user.places import LOCKFILE

if TYPE_CHECKING:
    from synapse_sync.core.weights.identify import Weights
    from synapse_sync.transfer.fetcher import Transfers

#: File systems round times to the tick of the kernel, in nanoseconds.
_CLOCK_STEP = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The result of a lock: both lockfiles, the changes, warnings, and new mirrors that `--heal` found.

    `checked` says that nothing was written. `absent` are the words for a lockfile that is missing then. `undo`
    removes the copies of local files that the lock made, for a caller that fails to write the lockfile. `refused`
    are the failures of models whose site refuses this region, if the caller lets the others go on. `left_out` names
    the optional models of which a warning says why they could not be locked.
    """

    lockfile: Lockfile
    before: Lockfile = field(default_factory=Lockfile)
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    healed: tuple[Place, ...] = ()
    absent: str | None = None
    undo: Callable[[], None] = field(default=lambda: None, compare=False)
    checked: bool = False
    refused: tuple[SynapseError, ...] = ()
    left_out: frozenset[str] = frozenset()

    @property
    def ok(self) -> bool:
        """Whether the lockfile answers the manifest: always, unless a check found changes."""
        return not (self.checked and self.changes)

    @property
    def diff(self) -> LockDiff:
        """How the new lockfile differs from the one before, with the facts by which a person judges it."""
        return diff_lockfiles(self.before, self.lockfile)

    def summary(self) -> str:
        """Return one line: how many models changed, or that none did."""
        every = count_text(len(self.lockfile.models), "model")
        changed = {change.name for change in self.changes} | {place.model for place in self.healed}
        if not changed:
            return f"{LOCKFILE} up to date: {every}"
        counted = count_text(len(changed), "model")
        if self.checked:
            return f"{LOCKFILE} out of date: {counted}"
        return f"{LOCKFILE} changed: {counted}" + ("" if counted == every else f"; it has {every}")

    def to_dict(self) -> dict[str, Any]:
        """Return the result as `synapse lock --json` prints it."""
        return {
            "changes": [change.to_dict() for change in self.changes],
            "healed": [{"model": p.model, "file": p.filename, "place": p.place} for p in self.healed],
            "models": len(self.lockfile.models),
            "diff": self.diff.to_dict(),
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return f"<Locked: {self.summary()}>"


def lock(
    project: Project,
    tools: Tools,
    *,
    upgrade: frozenset[str] | None = frozenset(),
    exclude_newer: datetime | None = None,
    heal: bool = False,
    dry_run: bool = False,
) -> Locked:
    """Bring the lockfile up to date with the manifest, and write it.

    `upgrade` names models or requirements that may move; None means all. With `heal`, further locations of all
    locked files are looked for and written as mirrors. With `dry_run`, neither file is written.
    Raises all failures together; then nothing is written.
    """
    with project.hold(tools.reporter.note):
        bring_includes(project, tools)
        old, damage = _last_lock(project)
        if dry_run:
            locked = resolve(project.manifest, old, tools, upgrade=upgrade, exclude_newer=exclude_newer)
            locked.undo()  # the copies of local files; downloads stay, for the lock that follows
            return replace(locked, warnings=(*damage, *locked.warnings))
        if damage or upgrade != frozenset() or missing_changes(project.manifest.entries(), old):
            project.check_writable()
        try:
            locked = resolve(project.manifest, old, tools, upgrade=upgrade, exclude_newer=exclude_newer, check=True)
        except SynapseError:
            for text in damage:  # no answer will have it
                tools.reporter.warn(text)
            raise
        locked = replace(locked, warnings=(*damage, *locked.warnings))
        with undone(locked):
            if heal:
                healed = find_locations(
                    locked.lockfile, sources=tools.sources, templates=tools.mirrors, wire=tools.wire()
                )
                warnings = (*locked.warnings, *healed.warnings)
                locked = replace(locked, lockfile=healed.lockfile, warnings=warnings, healed=healed.found)
            project.write_lockfile(locked.lockfile)
            note_lock(project, tools)
    return locked


@contextlib.contextmanager
def undone(locked: Locked) -> Iterator[None]:
    """Undo a lock if what follows fails."""
    try:
        yield
    except BaseException:
        locked.undo()
        raise


def _last_lock(project: Project) -> tuple[Lockfile, tuple[str, ...]]:
    """The lockfile, and a warning if it was damaged: then only its sound blocks are in it.

    Raises `InvalidLockfile` if nothing of it can be used.
    """
    try:
        return project.lockfile, ()
    except InvalidLockfile as error:
        repaired = repair_lockfile(project.text(LOCKFILE), LOCKFILE)
        names = ", ".join(f"`{name}`" for name in repaired.damaged)
        lost = f"resolved again: {names}" if names else "no model is affected"
        return repaired.lockfile, (f"{LOCKFILE} was damaged; {lost}\n{error.message}",)


def check(project: Project) -> Locked:
    """The changes that a lock would make, without a request or a write; raises what breaks `[policy]`."""
    now = project.lockfile
    entries = project.manifest.entries()
    open_ = {entry.name for entry in entries} - {entry.name for entry in expected(entries, now)}
    changes = tuple(change for change in missing_changes(entries, now) if change.name not in open_)
    raise_all(violations(project.manifest.rules, now.models))
    return Locked(lockfile=now, before=now, changes=changes, checked=True, absent=project.no_lockfile())


def resolve(
    manifest: Manifest,
    old: Lockfile,
    tools: Tools,
    *,
    upgrade: frozenset[str] | None = frozenset(),
    exclude_newer: datetime | None = None,
    check: bool = False,
    heard: Heard | None = None,
    go_on: bool = False,
) -> Locked:
    """Resolve stale requirements, keep the other pins, and drop models that are no longer declared.

    `old` is the last lockfile. `upgrade` names models or requirements that may move; None means all.
    `exclude_newer` is an instant in UTC. With `check`, headers of a few files are compared with their sites' words;
    a sync compares them when it has the bytes. `heard` has what need not be asked for again. Each source
    receives all other questions at once. Nothing is written. Raises all failures together. Where
    only optional models fail, a warning names each, and the lock is that of the others. With `go_on`, so are models
    whose site refuses this region, as long as another one is locked: they keep their last pin or have none.
    """
    heard = heard or Heard()
    optional = optional_names(manifest.entries())
    warnings: list[str] = []
    left: frozenset[str] = frozenset()
    refused: list[SynapseError] = []
    while True:
        try:
            locked = _resolve(
                manifest, old, tools, upgrade=upgrade, exclude_newer=exclude_newer, check=check, heard=heard,
                left=left, optional=optional - left,
            )  # fmt: skip
        except SynapseError as error:
            failed = to_leave_out(error, optional - left, abroad=go_on)
            if not failed:
                raise_all(required_only(error, optional))
                raise
            warnings += [warning(name, why) for name, why in failed.items() if name in optional]
            refused += [failed[name] for name in sorted(failed.keys() - optional)]
            left |= failed.keys()
            continue
        if not locked.lockfile.models:
            raise_all(refused)
        return replace(
            locked, warnings=(*warnings, *locked.warnings), refused=tuple(refused), left_out=left & optional
        )


def _resolve(
    manifest: Manifest,
    old: Lockfile,
    tools: Tools,
    *,
    upgrade: frozenset[str] | None,
    exclude_newer: datetime | None,
    check: bool,
    heard: Heard,
    left: frozenset[str],
    optional: frozenset[str],
) -> Locked:
    """Resolve as `resolve` does, without the models in `left`: their pins stay if they answer the manifest.

    The failures of `optional` models end it as well, though silently.
    """
    entries = manifest.entries()
    options = replace(manifest.workspace, forbidden=tools.forbidden)
    newer = exclude_newer or manifest.workspace.exclude_newer
    last, old = old, with_renamed(entries, old)
    pins = {model.name: model for model in old.models}
    moving, is_named = _upgraded(entries, upgrade), bool(upgrade)
    stale = [entry for entry in stale_entries(entries, old, moving) if entry.name not in left]
    tools.trust.require(tools.trust.declared(stale))
    questions = (
        (e.reference.source, question(e, pins.get(e.name), anew=e.name in moving, exclude_newer=newer))
        for e in stale
    )
    transfers = tools.transfers()
    here = LocalFiles(old.models, tools)
    copies = _Copies(transfers, tools.store, heard, here)
    said: list[str] = []
    headers: Mapping[str, Weights] = {}
    with _reported(said, copies, tools, optional):
        answers = ask_all(questions, tools.sources, heard)
        gone = gone_files(stale, answers, pins)
        said += [*_warned(answers), *gone.values()]
        chosen = _choose_all([entry for entry in stale if entry.name not in gone], answers, options)
        measure = explained(transfers.measure, tools.sources)
        resolved, warnings = pin(chosen, pins, moving, options, copies.fetch, measure, copies.unpack, is_named)
        said[:] = warnings = [*warnings, *gone.values()]
        if chosen:
            from synapse_sync.core.weights.agreement import with_last_facts
            from synapse_sync.engine.headers import settle_types

            resolved, headers, notes = settle_types(manifest, resolved, tools, transfers.peek, check=check)
            resolved = {name: with_last_facts(model, pins.get(name)) for name, model in resolved.items()}
            warnings += notes
        after = with_true_sizes(_pinned_anew(old, entries, resolved, left), tools.store.true_size)
        raise_all(violations(manifest.rules, after.models))
    warnings += _kept_by_policy(entries, upgrade)
    if resolved:
        from synapse_sync.engine.headers import unusable_adapters

        warnings += unusable_adapters(resolved, after.models, headers, tools)
        warnings += shared_files(after.models, resolved.keys() - pins.keys())
    warnings = [*warnings, *here.remarks, *transfers.heard()]
    return Locked(
        lockfile=after, before=last, changes=_changes(last, after), warnings=tuple(warnings), undo=copies.drop
    )


def _pinned_anew(
    old: Lockfile, entries: Sequence[Requirement], resolved: Mapping[str, LockedModel], left: frozenset[str]
) -> Lockfile:
    """The lockfile with the resolved models; those in `left` keep a pin that answers the manifest, or have none."""
    pins = {model.name: model for model in old.models}
    gone = {e.name for e in entries if e.name in left and (e.optional or e.name not in pins)}
    unknown = {e.name for e in stale_entries(entries, old) if e.name in gone} if gone else ()
    models = [resolved.get(e.name) or pins[e.name] for e in entries if e.name not in unknown]
    return replace(old, models=tuple(sorted(models, key=lambda model: model.name)))


def _warned(answers: Mapping[str, Resolved | SynapseError]) -> list[str]:
    """The warnings in the answers of sites, each with the name of its requirement."""
    found = ((name, answer) for name, answer in answers.items() if isinstance(answer, Resolved))
    return [f"`{name}`: {text}" for name, answer in found for text in answer.warnings]


def _kept_by_policy(entries: Sequence[Requirement], upgrade: frozenset[str] | None) -> list[str]:
    """Warnings about models that were named for an upgrade, and whose policy forbids it."""
    return [
        f'`{e.name}` was not upgraded: its policy is pinned; `policy = "latest"` lets it move'
        for e in entries
        if e.policy == "pinned" and {e.name, e.model} & (upgrade or set())
    ]


@contextlib.contextmanager
def _reported(said: Sequence[str], copies: _Copies, tools: Tools, optional: frozenset[str]) -> Iterator[None]:
    """Report the warnings so far if a lock fails, as no answer will have them; its copies of local files go.

    They are not reported where a lock without `optional` models follows, which has them again.
    """
    try:
        yield
    except BaseException as error:
        copies.drop()
        if isinstance(error, SynapseError) and not to_leave_out(error, optional):
            for text in grouped_texts(_without_causes(said, error)):
                tools.reporter.warn(text)
        raise


def _without_causes(said: Sequence[str], error: SynapseError) -> Iterator[str]:
    """The warnings without those about an address that an error of the same model names as well."""
    errors = error.errors if isinstance(error, Several) else (error,)
    for text in said:
        subject, _, rest = text.partition(": ")
        address = rest.partition(" ")[0].rstrip(":")
        if "://" not in address or not any(subject == f"`{e.model}`" and address in e.message for e in errors):
            yield text


class _Copies:
    """Fetches files, and knows the copies of local files that this made: a lock that fails leaves none behind."""

    def __init__(self, transfers: Transfers, store: BlobStore, heard: Heard, here: LocalFiles) -> None:
        self._transfers = transfers
        self._here = here
        self._store = store
        self._heard = heard
        self._began = time.time_ns()
        self._made: list[str] = []

    def fetch(self, wants: Sequence[Want]) -> tuple[Got | SynapseError, ...]:
        """Fetch files, as `Transfers.fetch` does, but none that this command has fetched before.

        A local file that the last lock has is read where it is.
        """
        read = self._here.read(wants)
        rest = iter(self._brought([want for want, got in zip(wants, read, strict=True) if got is None]))
        return tuple(next(rest) if got is None else got for got in read)

    def _brought(self, wants: Sequence[Want]) -> tuple[Got | SynapseError, ...]:
        """Fetch files that come into the store."""
        known = [self._heard.files.get((want.subject, want.places)) for want in wants]
        again = [got if got is not None and self._store.has(got.sha256) else None for got in known]
        new = [want for want, got in zip(wants, again, strict=True) if got is None]
        fetched = iter(self._transfers.fetch(new) if new else ())
        answers = tuple(next(fetched) if got is None else got for got in again)
        for want, got in zip(wants, answers, strict=True):
            if isinstance(got, Got):
                self._heard.files[(want.subject, want.places)] = got
                if got.place is not None and got.place.source == "path":
                    self._note(got.sha256)
        return answers

    def unpack(self, archive: Got, patterns: Sequence[str]) -> tuple[Member, ...]:
        """Unpack an archive, as `Transfers.unpack` does; the files of a local one are copies as well."""
        return self._transfers.unpack(archive, patterns, self._note if archive.want.is_local else None)

    def _note(self, sha256: str) -> None:
        with contextlib.suppress(OSError):
            # A blob that is older, or that a tree has a link to, belongs to others as well.
            found = self._store.path(sha256).stat()
            if found.st_ctime_ns > self._began - _CLOCK_STEP and found.st_nlink == 1:
                self._made.append(sha256)

    def drop(self) -> None:
        """Remove the copies from the store; a failure to do so does not hide why the lock failed."""
        for sha256 in self._made:
            with contextlib.suppress(SynapseError):
                self._store.remove(sha256)


def _upgraded(entries: Sequence[Requirement], upgrade: frozenset[str] | None) -> set[str]:
    """The requirements that may move; raises `InputError` for names that are not declared."""
    if upgrade is None:
        named = set(entries)
    else:
        named = {e for e in entries if e.name in upgrade or e.model in upgrade} if upgrade else set()
        if upgrade:
            known = {name for e in entries for name in (e.name, e.model)}
            raise_all([unknown_model(name, known) for name in sorted(upgrade - known)])
    return {e.name for e in named if e.policy != "pinned"}


def _choose_all(
    stale: Sequence[Requirement], answers: Mapping[str, Resolved | SynapseError], options: WorkspaceOptions
) -> list[Chosen]:
    """Choose files for every stale requirement; raises all failures together."""
    errors: list[SynapseError] = []
    chosen: list[Chosen] = []
    for entry in stale:
        try:
            chosen.append(choose(entry, answers[entry.name], options))
        except SynapseError as error:
            errors.append(error.of(entry.name))
    raise_all(errors)
    return chosen


def explained(measure: Measurer, sources: Mapping[str, Source]) -> Measurer:
    """Wrap `measure`: a server's refusal is raised in the words of its source."""

    def asked(reference: Reference) -> int | None:
        try:
            return measure(reference)
        except (StatusError, WrongContent) as error:
            raise_in_words(sources[reference.source], reference, error)

    return asked


def _changes(before: Lockfile, after: Lockfile) -> tuple[Change, ...]:
    """The differences between two lockfiles, by name."""
    found = diff_lockfiles(before, after)
    changes = [Change(kind="added", name=each.name, after=_text(each.after)) for each in found.of("added")]
    changes += [Change(kind="removed", name=each.name, before=_text(each.before)) for each in found.of("removed")]
    for each in (*found.of("moved"), *found.of("changed"), *found.of("renamed")):
        assert each.before is not None
        kind = "changed" if each.before.name == each.name else "renamed"
        old, new = (_text(each.before), _text(each.after)) if kind == "changed" else (each.before.name, each.name)
        changes.append(Change(kind=kind, name=each.name, before=old, after=new))
    return tuple(sorted(changes, key=lambda change: change.name))


def _text(model: LockedModel | None) -> str | None:
    return None if model is None else model.reference.text

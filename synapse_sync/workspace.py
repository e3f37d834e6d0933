"""The workspace: one project wired to its store, its sources and its targets. Also the public Python API."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.connections import Connections
from synapse_sync.core.reporter import Reporter
from synapse_sync.engine.unchanged import fingerprint, unchanged_files
from synapse_sync.errors import (
    Conflict,
    InputError,
    InvalidReference,
    OutOfDate,
    StorageError,
    raise_all,
)
from synapse_sync.sources.base import Means
from synapse_sync.sources.register import Register
from synapse_sync.store.project_note import project_key
from synapse_sync.store.projects import COLLECTION, ProjectRecord, read_record, write_record
from synapse_sync.user.places import LOCKFILE, MANIFEST, content, content_digest, find_project
from synapse_sync.user.settings import Settings, load_settings

if TYPE_CHECKING:
    from datetime import datetime

    from synapse_sync.core.artifact import Artifact
    from synapse_sync.core.companion import Companion, LeftOut
    from synapse_sync.core.lockfile import Lockfile
    from synapse_sync.core.manifest.values import Manifest, Requirement
    from synapse_sync.core.plan import Key
    from synapse_sync.core.reference import Reference
    from synapse_sync.core.report import Report
    from synapse_sync.engine.declare import Wishes
    from synapse_sync.engine.lock import Locked
    from synapse_sync.engine.outdated import Standing
    from synapse_sync.engine.scope import Scope
    from synapse_sync.engine.survey import Survey
    from synapse_sync.engine.verify import Verification
    from synapse_sync.sources.base import Description, Source
    from synapse_sync.store.blobs import BlobStore
    from synapse_sync.store.ownership import Tree
    from synapse_sync.suppliers.hub_cache import HubCache
    from synapse_sync.transfer.fetcher import Transfers


@dataclass(slots=True)
class _Parts:
    """What the workspace built so far; each part is made when it is first needed."""

    manifest: Manifest | None = None
    lockfile: Lockfile | None = None
    hub_cache: HubCache | None = None
    transfers: Transfers | None = None
    seen: dict[str, str] = field(default_factory=dict)


class Workspace:
    """One project directory. Use it as a context manager; it closes its connections at the end."""

    def __init__(
        self, project: Path, settings: Settings, *, reporter: Reporter | None = None, offline: bool = False
    ) -> None:
        self.project = project.resolve()
        self.settings = settings
        self.reporter = reporter or Reporter()
        self.offline = offline or settings.offline
        self.key = project_key(self.project)
        self.connections = Connections(settings, offline=self.offline, note=lambda text: self.reporter.note(text))
        self.sources: Mapping[str, Source] = Register(
            Means(
                project=self.project,
                api=lambda: self.connections.api,
                credentials=lambda: self.connections.credentials,
                tls=self.connections.tls,
                endpoints=settings.endpoints,
                asked=settings.asked,
                offline=self.offline,
            )
        )
        self._parts = _Parts()

    @classmethod
    def find(
        cls,
        start: Path,
        *,
        environ: Mapping[str, str] | None = None,
        reporter: Reporter | None = None,
        offline: bool = False,
    ) -> Workspace:
        """The project of a directory: the nearest one upwards with a `synapse.toml`; raises `InputError`."""
        environ = os.environ if environ is None else environ
        settings = load_settings(environ, Path.home())
        found = find_project(str(start))
        if found is None:
            raise InputError(f"no {MANIFEST} in {start.resolve()} or above it", hint="`synapse init` makes one")
        directory = Path(found)
        if (directory / MANIFEST).is_dir():
            raise InputError(
                f"{directory / MANIFEST} is a directory", hint="it should be a file; move the directory away"
            )
        return cls(directory, settings, reporter=reporter, offline=offline)

    @classmethod
    def anywhere(cls, start: Path, *, environ: Mapping[str, str] | None = None) -> Workspace:
        """The project of a directory or, where there is none, the directory itself: enough to ask the sites."""
        environ = os.environ if environ is None else environ
        try:
            return cls.find(start, environ=environ)
        except InputError:
            return cls(start, load_settings(environ, Path.home()))

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections."""
        self.connections.close()

    # -- the two files -----------------------------------------------------------------------------

    def read(self, name: str) -> bytes:
        """A file of the project, empty if it is not there; raises `StorageError`."""
        return self._look(name, content)

    def _look(self, name: str, how: Callable[[str], bytes]) -> bytes:
        try:
            return how(str(self.project / name))
        except OSError as error:
            raise StorageError(f"cannot read {self.project / name}: {error.strerror}") from error

    def text(self, name: str) -> str:
        """A file of the project as text; raises `InputError` if it is not UTF-8."""
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            hint = "save it as UTF-8"
            if name == LOCKFILE:
                hint = "take it from git again, or delete it and run `synapse lock`"
            raise InputError(f"{name}: not UTF-8 text (byte {error.start})", hint=hint) from error

    @property
    def manifest(self) -> Manifest:
        """The manifest as values; raises `InvalidManifest`."""
        if self._parts.manifest is None:
            from synapse_sync.core.manifest.read import parse_manifest

            text = self._parts.seen[MANIFEST] = self.text(MANIFEST)
            self._parts.manifest = parse_manifest(text, MANIFEST)
        return self._parts.manifest

    @property
    def lockfile(self) -> Lockfile:
        """The lockfile as values, an empty one if there is none; raises `InvalidLockfile`."""
        if self._parts.lockfile is None:
            from synapse_sync.core.lockfile import Lockfile, parse_lockfile

            text = self._parts.seen[LOCKFILE] = self.text(LOCKFILE)
            self._parts.lockfile = parse_lockfile(text, LOCKFILE) if text.strip() else Lockfile()
        return self._parts.lockfile

    def write(self, name: str, text: str) -> bool:
        """Write a file of the project whole or not at all; False if it said the same already.

        Raises `Conflict` if somebody has changed it since it was read: that would be lost.
        """
        from synapse_sync.store.durable import write_atomic

        if name in self._parts.seen and self.text(name) != self._parts.seen[name]:
            raise Conflict(
                f"{name} was changed by somebody else meanwhile; it is left as it is", hint="run it again"
            )
        data = text.encode()
        if self.read(name) == data and (self.project / name).exists():
            return False
        write_atomic(self.project / name, data)
        self._parts.manifest = self._parts.lockfile = None
        self._parts.seen.pop(name, None)
        return True

    # -- parts -------------------------------------------------------------------------------------

    @property
    def store(self) -> BlobStore:
        """The content-addressed store."""
        from synapse_sync.store.blobs import BlobStore

        return BlobStore(self.settings.store)

    @property
    def hub_cache(self) -> HubCache:
        """What the Hugging Face libraries downloaded on this machine."""
        if self._parts.hub_cache is None:
            from synapse_sync.suppliers.hub_cache import HubCache

            self._parts.hub_cache = HubCache(self.settings.hub_cache)
        return self._parts.hub_cache

    @property
    def transfers(self) -> Transfers:
        """Everything that brings bytes into the store."""
        if self._parts.transfers is None:
            from synapse_sync.transfer.fetcher import Transfers
            from synapse_sync.transfer.want import Limits

            settings = self.settings
            self._parts.transfers = Transfers(
                store=self.store,
                sources=self.sources,
                wire=lambda: self.connections.wire,
                reporter=self.reporter,
                limits=Limits(
                    downloads=settings.downloads,
                    connections=settings.connections,
                    per_host=settings.connections_per_host,
                    limit_rate=settings.limit_rate,
                ),
                nearby=lambda want: self.hub_cache.files(want.sha256 or "", want.size, want.places),
            )
        return self._parts.transfers

    @contextmanager
    def hold(self, name: str, what: str, *, reading: bool = False) -> Iterator[None]:
        """Be the only one to do `what`; the reporter tells whom we wait for."""
        from synapse_sync.store.locks import hold

        with hold(
            self.settings.store / "locks" / f"{name}.lock", what, on_wait=self.reporter.note, reading=reading
        ):
            yield

    # -- lock --------------------------------------------------------------------------------------

    def resolve(
        self,
        manifest: Manifest | None = None,
        *,
        upgrade: frozenset[str] | None = frozenset(),
        exclude_newer: datetime | None = None,
    ) -> Locked:
        """What the lockfile would be; nothing is written. `upgrade` names entries or models; None means all."""
        from synapse_sync.engine.lock import lock

        manifest = manifest or self.manifest
        entries = manifest.entries()
        if upgrade is None:
            names = {entry.name for entry in entries}
        else:
            names = {e.name for e in entries if e.name in upgrade or e.model in upgrade}
            known = names | {e.model for e in entries if e.name in names}
            raise_all([InputError(f"no model `{name}` in {MANIFEST}") for name in sorted(upgrade - known)])
        locked = lock(
            entries,
            self.lockfile,
            manifest.workspace,
            sources=self.sources,
            fetch=self.transfers.fetch,
            measure=self.transfers.measure,
            unpack=self.transfers.unpack,
            upgrade=names,
            exclude_newer=exclude_newer or manifest.workspace.exclude_newer,
        )
        return replace(locked, warnings=(*locked.warnings, *self.transfers.heard()))

    def lock(
        self,
        *,
        upgrade: frozenset[str] | None = frozenset(),
        exclude_newer: datetime | None = None,
        check: bool = False,
        heal: bool = False,
    ) -> Locked:
        """Bring the lockfile up to date with the manifest; with `check` only say what would change.

        With `heal`, further places of all locked files are looked for, and written as mirrors.
        """
        if check:
            from synapse_sync.core.freshness import missing_changes
            from synapse_sync.engine.lock import Locked

            return Locked(lockfile=self.lockfile, changes=missing_changes(self.manifest.entries(), self.lockfile))
        with self.hold(f"project-{self.key}", f"the lockfile of {self.project}"):
            self._parts.lockfile = None  # somebody else may have written it while we waited
            locked = self.resolve(upgrade=upgrade, exclude_newer=exclude_newer)
            if heal:
                locked = self._heal(locked)
            self.write_lock(locked)
        return locked

    def _heal(self, locked: Locked) -> Locked:
        from synapse_sync.engine.heal import heal

        templates = self.settings.mirrors
        healed = heal(locked.lockfile, sources=self.sources, templates=templates, wire=self.connections.wire)
        warnings = (*locked.warnings, *healed.warnings)
        return replace(locked, lockfile=healed.lockfile, warnings=warnings, healed=healed.found)

    def outdated(self, *, exclude_newer: datetime | None = None) -> tuple[Standing, ...]:
        """How every entry stands against its site: what is locked, what an upgrade would take, what there is."""
        from synapse_sync.engine.outdated import standings

        manifest = self.manifest
        return standings(
            manifest.entries(),
            self.lockfile,
            manifest.workspace,
            sources=self.sources,
            exclude_newer=exclude_newer or manifest.workspace.exclude_newer,
        )

    def describe(self, text: str) -> tuple[Description, frozenset[str]]:
        """What a site tells about a reference or a declared name, and which versions are locked for that name."""
        from synapse_sync.core.reference import Reference

        try:
            reference, locked = Reference.parse(text), []
        except InvalidReference as error:
            if not (self.project / MANIFEST).is_file():
                raise
            entries = [e for e in self.manifest.entries() if text in (e.name, e.model)]
            if not entries:
                raise InvalidReference(f"{error.message}, nor a model of {MANIFEST}", hint=error.hint) from error
            names = {entry.name for entry in entries}
            locked = [Reference.parse(m.reference) for m in self.lockfile.models if m.name in names]
            reference = locked[0] if locked else entries[0].reference
        found = self.sources[reference.source].describe(reference)
        return found, frozenset(str(replace(pin, file=None, query=())) for pin in locked)

    def write_lock(self, locked: Locked) -> bool:
        """Write the lockfile if it changed."""
        from synapse_sync.core.lockfile import format_lockfile

        return self.write(LOCKFILE, format_lockfile(locked.lockfile))

    def stale(self) -> tuple[str, ...]:
        """Names of entries that the lockfile does not answer, and of locked ones that nobody declares any more."""
        from synapse_sync.core.freshness import missing_changes

        return tuple(change.name for change in missing_changes(self.manifest.entries(), self.lockfile))

    def add(self, references: Sequence[Reference], wishes: Wishes) -> tuple[list[str], Locked]:
        """Write entries for these references into the manifest, and lock them.

        Nothing is written unless all of it can be resolved and has a place in every target that wants it.
        """
        from synapse_sync.core.manifest.edit import add_model
        from synapse_sync.core.manifest.read import parse_manifest
        from synapse_sync.engine.declare import Wishes, propose
        from synapse_sync.layouts.arrange import arrange

        with self.hold(f"project-{self.key}", f"the project {self.project}"):
            self._parts.manifest = self._parts.lockfile = None  # somebody else may have written while we waited
            taken = [model.name for model in self.manifest.models]
            if wishes == Wishes():
                self._refuse_twice(references)
            text = self.text(MANIFEST)
            entries = propose(references, wishes, taken, self.sources)
            for name, value in entries:
                text = add_model(text, name, value)
            manifest = parse_manifest(text, MANIFEST)
            locked = self.resolve(manifest)
            arrange(manifest.entries(), {model.name: model for model in locked.lockfile.models}, manifest.targets)
            self.write(MANIFEST, text)
            self.write_lock(locked)
        return [name for name, _ in entries], locked

    def _refuse_twice(self, references: Sequence[Reference]) -> None:
        """A reference that is declared already is not declared once more unless something about it is new."""
        known = {model.reference: model.name for model in self.manifest.models if not model.versions}
        raise_all(
            [
                InputError(
                    f"`{reference}` is in {MANIFEST} already, as `{known[reference]}`",
                    hint="to have it twice, give it another `--name`; to change its entry, edit the file",
                )
                for reference in references
                if reference in known
            ]
        )

    def remove(self, names: Sequence[str]) -> tuple[str, ...]:
        """Take models out of the manifest and the lockfile; raises `InputError` for names that are not there."""
        from synapse_sync.core.lockfile import format_lockfile
        from synapse_sync.core.manifest.edit import remove_model
        from synapse_sync.engine.survey import unknown_model

        with self.hold(f"project-{self.key}", f"the project {self.project}"):
            known = {model.name for model in self.manifest.models}
            raise_all([unknown_model(name, known) for name in names if name not in known])
            text = self.text(MANIFEST)
            lockfile = self.lockfile
            for name in dict.fromkeys(names):
                text = remove_model(text, name)
            kept = tuple(m for m in lockfile.models if m.model not in names)
            self.write(MANIFEST, text)
            if kept != lockfile.models:
                self.write(LOCKFILE, format_lockfile(replace(lockfile, models=kept)))
        return tuple(dict.fromkeys(names))

    # -- survey and sync ---------------------------------------------------------------------------

    def entries(self, scope: Scope | None = None) -> tuple[Requirement, ...]:
        """The entries in scope; raises `InputError` for names and groups that do not exist."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.survey import entries_in

        return entries_in(self.manifest, scope or Scope())

    def trees(self, scope: Scope | None = None) -> dict[str, Tree]:
        """The targets in scope on this machine, each with our receipt; raises `InputError` for unknown ones."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.store.ownership import open_trees

        scope = scope or Scope()
        targets = {target.name: target for target in self.manifest.targets}
        raise_all(
            [
                InputError(f"no target `{name}` in {MANIFEST}", hint=f"there is: {', '.join(targets)}")
                for name in scope.targets
                if name not in targets
            ]
        )
        chosen = [target for name, target in targets.items() if not scope.targets or name in scope.targets]
        return open_trees(
            chosen, self.project, self.key, link_mode=scope.link_mode, default_mode=self.settings.link_mode
        )

    def survey(self, scope: Scope | None = None) -> Survey:
        """Compare what is wanted with what is there; changes nothing."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.survey import survey

        def nearby(artifact: Artifact) -> bool:
            given = artifact.given
            return any(self.hub_cache.files(given.sha256, given.size, artifact.locations))

        scope = scope or Scope()
        record = read_record(self.settings.store, self.key)
        return survey(
            self.manifest,
            self.lockfile,
            scope,
            self.trees(scope),
            key=self.key,
            former=record.every_root if record is not None else {},
            stale=self.stale(),
            store=self.store,
            nearby=nearby,
        )

    def state(self) -> str:
        """The fingerprint of everything that a complete sync depends on."""
        manifest, lockfile = (self._look(name, content_digest) for name in (MANIFEST, LOCKFILE))
        return fingerprint(manifest, lockfile, self.settings.fingerprint, str(Path.home()))

    def unchanged(self) -> int | None:
        """How many files are in place if there is surely nothing to do; None if it takes a survey to tell."""
        from synapse_sync.store.receipt import count_unchanged

        return unchanged_files(self.settings.store, self.key, self.state(), count_unchanged)

    def sync(
        self,
        scope: Scope | None = None,
        *,
        locked: bool = False,
        frozen: bool = False,
        confirm: Callable[[str], bool] = lambda question: False,
        command: str = "sync",
    ) -> Report:
        """Make the trees match the manifest: lock what is stale, survey, preflight, execute.

        `locked` refuses a stale lockfile (`OutOfDate`), `frozen` takes it as it is. `confirm` is asked before an
        unusually large prune. Raises everything that preflight finds; failures of single files are in the report.
        """
        from synapse_sync.core.plan import Verb
        from synapse_sync.engine.execute import execute
        from synapse_sync.engine.scope import Scope

        scope = scope or Scope()
        with ExitStack() as held:
            held.enter_context(self.hold(f"project-{self.key}", f"the project {self.project}"))
            self._parts.manifest = self._parts.lockfile = None
            warnings = self._refresh_lock(locked=locked, frozen=frozen)
            for root in sorted({tree.root for tree in self.trees(scope).values()}):
                held.enter_context(self.hold(f"target-{project_key(root)}", f"the target {root}"))
            survey = self.survey(scope)
            if frozen and survey.stale:
                warnings += [
                    f"`{name}` is not answered by {LOCKFILE}; --frozen takes it as it is" for name in survey.stale
                ]
            self._check_prune(survey, confirm)
            self._preflight(survey)
            with self.hold(COLLECTION, f"the store {self.settings.store}"):  # no collection is under way
                self._remember(survey, complete=None)
            report = execute(
                survey.plan,
                survey.trees,
                survey.observed,
                store=self.store,
                fetch=self.transfers.fetch,
                bring=lambda companions: self._bring(companions, survey.trees),
                reporter=self.reporter,
                command=command,
                pickles={entry.name for entry in self.manifest.entries() if entry.allow_pickle},
            )
            in_sync = not report.errors and not report.plan.of(Verb.CONFLICT) and not report.unfinished
            if scope.is_whole:
                self._complete(survey, self.state() if in_sync and not survey.stale else None)
        return replace(report, warnings=(*warnings, *survey.warnings, *self.transfers.heard(), *report.warnings))

    def _bring(self, companions: Sequence[Companion], trees: Mapping[str, Tree]) -> Mapping[Key, bytes | LeftOut]:
        """The content of previews and sidecars."""
        if not companions:
            return {}
        from synapse_sync.engine.companions import Desk, bring
        from synapse_sync.store.preview_cache import Pictures

        desk = Desk(
            sources=self.sources,
            wire=lambda: self.connections.wire,
            pictures=Pictures(self.settings.store),
            offline=self.offline,
        )
        return bring(companions, {name: tree.root for name, tree in trees.items()}, desk)

    def _refresh_lock(self, *, locked: bool, frozen: bool) -> list[str]:
        stale = self.stale()
        if not stale or frozen:
            return []
        if locked:
            names = ", ".join(f"`{name}`" for name in stale)
            raise OutOfDate(f"{LOCKFILE} does not answer {MANIFEST} for {names}", hint="run `synapse lock`")
        answer = self.resolve()
        self.write_lock(answer)
        for change in answer.changes:
            words = (
                f"{change.kind}: {change.name}" if change.after is None else f"locked {change.name}  {change.after}"
            )
            self.reporter.note(words)
        return list(answer.warnings)

    def _check_prune(self, survey: Survey, confirm: Callable[[str], bool]) -> None:
        """A prune of more than ten files and more than half of what we placed is asked about first."""
        from synapse_sync.core.plan import Verb

        count = len(survey.plan.of(Verb.PRUNE))
        if count <= max(10, survey.listed // 2):
            return
        if not confirm(f"{count} of the {survey.listed} files that synapse placed would be removed. Go on?"):
            raise InputError(
                f"{count} of the {survey.listed} files that synapse placed would be removed; nothing was done",
                hint="if that is meant, say `--yes`; to keep them, `--no-prune`",
            )

    def _preflight(self, survey: Survey) -> None:
        from synapse_sync.engine.preflight import preflight
        from synapse_sync.store.partials import bytes_begun

        store = self.settings.store
        record = read_record(store, self.key)
        raise_all(
            preflight(
                survey.plan,
                self.manifest,
                survey.trees,
                sources=self.sources,
                has_token=self.connections.credentials.has_token,
                store=store,
                project=self.project,
                offline=self.offline,
                begun=lambda sha256: bytes_begun(store, sha256),
                synced=record.roots.values() if record is not None and record.complete is not None else (),
            )
        )

    def _remember(self, survey: Survey, complete: str | None) -> None:
        """Tell the store that this project uses it, before anything is placed."""
        from synapse_sync.store.ownership import roots_of

        known = read_record(self.settings.store, self.key)
        before = known.every_root if known is not None else {}
        roots = {**before, **roots_of(survey.trees.values())}
        absent: dict[str, str] = {}
        if complete is not None:
            roots = roots_of(survey.trees.values())
            absent = {name: root for name, root in before.items() if name not in roots and not Path(root).is_dir()}
        record = ProjectRecord(project=str(self.project), roots=roots, complete=complete, absent=absent)
        if record != known:
            write_record(self.settings.store, self.key, record)

    def _complete(self, survey: Survey, state: str | None) -> None:
        """Write down that this state is complete, so that the next sync need only look."""
        from synapse_sync.store import receipt
        from synapse_sync.store.tree import refresh

        declared = {target.name for target in self.manifest.targets}
        kept: dict[str, Tree] = {}
        for name, tree in survey.trees.items():
            if not tree.root.is_dir():
                continue
            if refresh(tree, survey.observed, state) or name in declared:
                kept[name] = tree
            else:
                receipt.discard(tree.root, tree.receipt.project)
        self._remember(replace(survey, trees=kept), state)

    def verify(self, *, repair: bool = False, whole_store: bool = False) -> Verification:
        """Hash every wanted file and the blobs behind them; with `repair`, set bad ones aside and sync again."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.verify import verify_store, verify_tree

        with ExitStack() as held:
            for root in sorted({tree.root for tree in self.trees().values()}):
                held.enter_context(
                    self.hold(f"target-{project_key(root)}", f"the target {root}", reading=not repair)
                )
            survey = self.survey(Scope(prune=False))
            result = verify_tree(
                survey.arrangement.placements,
                survey.observed,
                survey.trees,
                store=self.store,
                reporter=self.reporter,
                repair=repair,
            )
        if whole_store:
            rest = verify_store(self.settings.store, repair=True)
            result = replace(
                result,
                files=result.files + rest.files,
                bytes=result.bytes + rest.bytes,
                bad=(*result.bad, *rest.bad),
                set_aside=(*result.set_aside, *rest.set_aside),
            )
        if repair and result.bad:
            result = replace(result, report=self.sync(Scope(prune=False), locked=True, command="verify"))
        return result

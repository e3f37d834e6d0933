"""The workspace: one project wired to its store, its sources and its targets. Also the public Python API."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from synapse_sync.connections import Connections
from synapse_sync.core.reporter import Reporter
from synapse_sync.engine.tools import Tools
from synapse_sync.engine.unchanged import fingerprint, unchanged_files
from synapse_sync.errors import InputError
from synapse_sync.project import Project
from synapse_sync.sources.base import Means
from synapse_sync.sources.register import Register
from synapse_sync.user.places import MANIFEST, find_project, home_directory, home_text
from synapse_sync.user.settings import Settings, load_settings

if TYPE_CHECKING:
    from datetime import datetime

    from synapse_sync.core.artifact import Artifact
    from synapse_sync.core.lockfile import Lockfile
    from synapse_sync.core.manifest.values import Manifest, Requirement
    from synapse_sync.core.reference import Reference
    from synapse_sync.core.report import Report
    from synapse_sync.engine.collect import Collection
    from synapse_sync.engine.declare import Wishes
    from synapse_sync.engine.init import Created
    from synapse_sync.engine.lock import Locked
    from synapse_sync.engine.outdated import Standing
    from synapse_sync.engine.scope import Scope
    from synapse_sync.engine.survey import Survey
    from synapse_sync.engine.verify import Verification
    from synapse_sync.engine.whoami import Identity
    from synapse_sync.net.credentials import Secret
    from synapse_sync.sites import Site
    from synapse_sync.sources.base import Description, Source
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.store.blobs import BlobStore
    from synapse_sync.suppliers.hub_cache import HubCache
    from synapse_sync.suppliers.tree_files import TreeFiles
    from synapse_sync.transfer.fetcher import Transfers
    from synapse_sync.user.tokens import Token

T = TypeVar("T")


class Workspace:
    """One project directory. Use it as a context manager; it closes its connections at the end.

    Every verb is one method here and one module of `engine/`; this class only wires them.
    """

    def __init__(
        self,
        project: Path,
        settings: Settings,
        *,
        environ: Mapping[str, str] | None = None,
        reporter: Reporter | None = None,
        offline: bool = False,
    ) -> None:
        self.project = Project(project, settings.store)
        self.settings = settings
        self.environ = os.environ if environ is None else environ
        self.reporter = reporter or Reporter()
        self.offline = offline or settings.offline
        self.connections = Connections(settings, offline=self.offline, note=lambda text: self.reporter.note(text))
        self.sources: Mapping[str, Source] = Register(
            Means(
                project=self.project.directory,
                api=lambda: self.connections.api,
                wire=lambda: self.connections.wire,
                credentials=lambda: self.connections.credentials,
                tls=self.connections.tls,
                retry=lambda: self.connections.retry,
                bounds=lambda: self.connections.bounds,
                endpoints=settings.endpoints,
                asked=settings.asked,
                offline=self.offline,
            )
        )

    @classmethod
    def find(
        cls,
        start: Path,
        *,
        environ: Mapping[str, str] | None = None,
        reporter: Reporter | None = None,
        offline: bool = False,
        limit_rate: int | None = None,
    ) -> Workspace:
        """The project of a directory: the nearest one upwards with a `synapse.toml`; raises `InputError`.

        `limit_rate`, in bytes a second, overrides the user's setting.
        """
        environ = os.environ if environ is None else environ
        settings = load_settings(environ, home_directory())
        if limit_rate is not None:
            settings = replace(settings, limit_rate=limit_rate)
        found = find_project(str(start))
        if found is None:
            raise InputError(f"no {MANIFEST} in {start.resolve()} or above it", hint="`synapse init` makes one")
        directory = Path(found)
        if (directory / MANIFEST).is_dir():
            raise InputError(
                f"{directory / MANIFEST} is a directory", hint="it should be a file; move the directory away"
            )
        return cls(directory, settings, environ=environ, reporter=reporter, offline=offline)

    @classmethod
    def anywhere(cls, start: Path, *, environ: Mapping[str, str] | None = None) -> Workspace:
        """The project of a directory or, without one, the directory itself: enough for the sites and the store."""
        environ = os.environ if environ is None else environ
        try:
            return cls.find(start, environ=environ)
        except InputError:
            return cls(start, load_settings(environ, home_directory()), environ=environ)

    @staticmethod
    def create(directory: Path, *, layout: str | None = None, root: str | None = None) -> Created:
        """Write a first manifest into a directory; `layout` and `root` are guessed if they are None."""
        from synapse_sync.engine.init import create

        return create(directory, layout=layout, root=root)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections, and keep the digests that were learned."""
        if {"tree_files", "transfers"} <= self.__dict__.keys():  # a command that only reads writes nothing
            self.tree_files.save()
        self.connections.close()

    # -- parts -------------------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """The manifest as values; raises `InvalidManifest`."""
        return self.project.manifest

    @property
    def lockfile(self) -> Lockfile:
        """The lockfile as values, an empty one if the file does not exist; raises `InvalidLockfile`."""
        return self.project.lockfile

    @property
    def store(self) -> BlobStore:
        """The content-addressed store."""
        from synapse_sync.store.blobs import BlobStore

        return BlobStore(self.settings.store)

    @cached_property
    def hub_cache(self) -> HubCache:
        """The cache of the Hugging Face libraries on this machine."""
        from synapse_sync.suppliers.hub_cache import HubCache

        return HubCache(self.settings.hub_cache)

    @cached_property
    def tree_files(self) -> TreeFiles:
        """The files in the folders that the targets have for models."""
        from synapse_sync.layouts import folders_of
        from synapse_sync.store.known_digests import KnownDigests
        from synapse_sync.store.ownership import root_of
        from synapse_sync.suppliers.tree_files import TreeFiles

        manifest = self.project.manifest
        own = {entry.subfolder.parts[0] for entry in manifest.entries() if entry.subfolder is not None}
        folders = {
            # The root of a `flat` target may be any directory: only the files right in it count.
            (root_of(target.root, self.project.directory) / name, bool(name))
            for target in manifest.targets
            for name in {folder.partition("/")[0] for folder in folders_of(target.layout)} | own
        }
        return TreeFiles(folders, KnownDigests(self.settings.store))

    @cached_property
    def transfers(self) -> Transfers:
        """Everything that brings bytes into the store."""
        from synapse_sync.transfer.fetcher import Transfers
        from synapse_sync.transfer.want import Limits

        settings = self.settings
        return Transfers(
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
            retry=self.connections.retry,
            nearby=lambda want: self._nearby(want.sha256 or "", want.size, want.places),
        )

    def _tools(self) -> Tools:
        return Tools(
            store=self.store,
            sources=self.sources,
            reporter=self.reporter,
            transfers=lambda: self.transfers,
            wire=lambda: self.connections.wire,
            retry=lambda: self.connections.retry,
            has_token=lambda url: self.connections.credentials.has_token(url),
            nearby=self._is_nearby,
            link_mode=self.settings.link_mode,
            mirrors=self.settings.mirrors,
            offline=self.offline,
        )

    def _is_nearby(self, artifact: Artifact) -> bool:
        given = artifact.given
        return any(self._nearby(given.sha256, given.size, artifact.locations))

    def _nearby(self, sha256: str, size: int | None, places: Iterable[Reference]) -> Iterator[Path]:
        """Files on this machine that seem to have these bytes.

        They are in the hub's cache, among the files that any project placed, or in the folders of the targets.
        """
        from synapse_sync.store.ownership import placed_elsewhere

        yield from self.hub_cache.files(sha256, size, places)
        yield from placed_elsewhere(self.settings.store, sha256)
        if size is not None and (found := self.tree_files.find(sha256, size)) is not None:
            yield found

    @contextmanager
    def hold(self, name: str, what: str) -> Iterator[None]:
        """Hold a lock of the store by its name, if this user may; `what` is its description for other processes."""
        from synapse_sync.store.locks import hold, lock_path

        with hold(lock_path(self.settings.store, name), what, on_wait=self.reporter.note, optional=True):
            yield

    # -- the two files -----------------------------------------------------------------------------

    def add(self, references: Sequence[Reference], wishes: Wishes) -> tuple[list[str], Locked]:
        """Write references into the manifest as new models, and lock them; returns their names and the lock."""
        from synapse_sync.engine.declare import add

        return add(self.project, references, wishes, self._tools())

    def remove(self, names: Sequence[str]) -> tuple[str, ...]:
        """Remove models from the manifest and the lockfile; raises `InputError` for unknown names."""
        from synapse_sync.engine.declare import remove

        return remove(self.project, names, self._tools())

    def resolve(
        self, *, upgrade: frozenset[str] | None = frozenset(), exclude_newer: datetime | None = None
    ) -> Locked:
        """The lockfile that a lock would write; nothing is written. `upgrade` names models; None means all."""
        from synapse_sync.engine.lock import resolve

        return resolve(self.manifest, self.lockfile, self._tools(), upgrade=upgrade, exclude_newer=exclude_newer)

    def lock(
        self,
        *,
        upgrade: frozenset[str] | None = frozenset(),
        exclude_newer: datetime | None = None,
        check: bool = False,
        heal: bool = False,
    ) -> Locked:
        """Bring the lockfile up to date with the manifest; with `check` only report what would change.

        With `heal`, further locations of all locked files are looked for, and written as mirrors.
        """
        from synapse_sync.engine import lock

        if check:
            return lock.check(self.project)
        return lock.lock(self.project, self._tools(), upgrade=upgrade, exclude_newer=exclude_newer, heal=heal)

    def outdated(self, *, exclude_newer: datetime | None = None) -> tuple[Standing, ...]:
        """Every requirement compared with its site: the locked version, the upgrade, and the newest version."""
        from synapse_sync.engine.outdated import standings

        manifest = self.manifest
        newer = exclude_newer or manifest.workspace.exclude_newer
        return standings(
            manifest.entries(), self.lockfile, manifest.workspace, sources=self.sources, exclude_newer=newer
        )

    def describe(self, text: str) -> tuple[Description, frozenset[str]]:
        """A site's description of a reference or a declared name, and the versions that are locked for the name."""
        from synapse_sync.engine.describe import describe

        return describe(self.project, text, self.sources)

    def discover(self, what: str, question: Callable[[Client], Iterable[T]]) -> list[T]:
        """All items of a list of Civitai; `question` asks its client, `what` names the list in errors."""
        from synapse_sync.engine.discover import discover

        return discover(question, self.connections.civitai, self.sources, what=what)

    def needs_token(self, reference: Reference) -> str | None:
        """Which token the site of a reference wants for its files, in words; None if it wants none."""
        return self.sources[reference.source].needs_token(reference)

    # -- tokens ------------------------------------------------------------------------------------

    def account(self, site: Site, token: Secret) -> str | None:
        """The owner of a token, as its site says; None if rewrites keep it from the site. Raises `AccessDenied`."""
        return self.connections.account(site, token)

    def identities(self, asked: Sequence[tuple[str, Site | None]]) -> tuple[Identity, ...]:
        """The owners of the tokens for these hosts; the site that comes with a host is asked."""
        from synapse_sync.engine.whoami import identities

        known = [(host, site, self.settings.token_for(host)) for host, site in asked]
        return identities(known, lambda site, token: self.account(site, token.secret))

    def keep_token(self, host: str, token: str) -> tuple[str, Token | None]:
        """Keep a token for a host; returns where it is kept, and the token that counts for the host from now on."""
        from synapse_sync.store.durable import write_private
        from synapse_sync.user.kept_tokens import keep

        with self.hold("tokens", "the kept tokens"):
            where = keep(self.settings.tokens_file, host, token, write=write_private)
        return where, self._settings_anew().token_for(host)

    def forget_token(self, host: str) -> tuple[bool, tuple[str, ...], Token | None]:
        """Forget the kept token for a host.

        Returns whether there was one, warnings, and the token that still counts, from another place.
        """
        from synapse_sync.store.durable import write_private
        from synapse_sync.user.kept_tokens import forget

        with self.hold("tokens", "the kept tokens"):
            forgotten, warnings = forget(self.settings.tokens_file, host, write=write_private)
            return forgotten, warnings, self._settings_anew().token_for(host)

    def _settings_anew(self) -> Settings:
        return load_settings(self.environ, home_directory())

    # -- the trees ---------------------------------------------------------------------------------

    def entries(self, scope: Scope | None = None) -> tuple[Requirement, ...]:
        """The requirements in scope; raises `InputError` for names and groups that do not exist."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.survey import entries_in

        return entries_in(self.manifest, scope or Scope())

    def survey(self, scope: Scope | None = None) -> Survey:
        """Compare what the project wants with what exists on this machine; changes nothing."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.survey import survey_project

        return survey_project(self.project, scope or Scope(), self._tools())

    def status(self, scope: Scope | None = None, *, frozen: bool = False) -> Survey:
        """A survey whose warnings say why a sync would be refused; `frozen` as in `sync`."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.status import status

        return status(self.project, scope or Scope(), self._tools(), frozen=frozen)

    def state(self) -> str:
        """The fingerprint of everything that a complete sync depends on."""
        return fingerprint(*self.project.digests(), self.settings.fingerprint, home_text())

    def unchanged(self) -> int | None:
        """How many files are in place if there is surely nothing to do; None if only a survey can say it."""
        from synapse_sync.store.receipt import count_unchanged

        return unchanged_files(self.settings.store, self.project.key, self.state(), count_unchanged)

    def sync(
        self,
        scope: Scope | None = None,
        *,
        locked: bool = False,
        frozen: bool = False,
        confirm: Callable[[str], bool] = lambda question: False,
        command: str = "sync",
    ) -> Report:
        """Make the trees match the manifest; `engine/sync.py` has the story and the meaning of the parameters."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.sync import sync

        return sync(
            self.project,
            scope or Scope(),
            self._tools(),
            state=self.state,
            locked=locked,
            frozen=frozen,
            confirm=confirm,
            command=command,
        )

    def verify(self, *, repair: bool = False, whole_store: bool = False) -> Verification:
        """Hash every wanted file and the blobs behind them; with `repair`, set bad ones aside and sync again."""
        from synapse_sync.engine.repair import verify

        return verify(self.project, self._tools(), self.state, repair=repair, whole_store=whole_store)

    # -- the store ---------------------------------------------------------------------------------

    def plan_collection(self, *, irreplaceable: bool = False) -> Collection:
        """The blobs that no known project uses; nothing is dropped."""
        from synapse_sync.engine.collect import plan_collection

        return plan_collection(self.settings.store, irreplaceable=irreplaceable)

    def collect(self, plan: Collection, on_wait: Callable[[str], None] | None = None) -> int:
        """Drop the blobs of a plan; returns the freed bytes. `on_wait` hears of a process to wait for."""
        from synapse_sync.engine.collect import collect

        return collect(self.settings.store, plan, on_wait=on_wait)

    def verify_store(self) -> Verification:
        """Hash every blob of the store; bad ones go to quarantine."""
        from synapse_sync.engine.verify import verify_store

        return verify_store(self.settings.store, repair=True)

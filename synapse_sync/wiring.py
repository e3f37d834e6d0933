"""Wiring: the store, sites, connections and caches of one project, each made when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.connections import Connections
from synapse_sync.core.reporter import Reporter
from synapse_sync.errors import SynapseError
from synapse_sync.project import Project
from synapse_sync.sites import public_endpoints
from synapse_sync.sources.register import Register
from synapse_sync.user.settings import Settings

if TYPE_CHECKING:
    from synapse_sync.core.artifact import Artifact
    from synapse_sync.core.reference import Reference
    from synapse_sync.core.remote import Remote
    from synapse_sync.engine.push_choice import Upload
    from synapse_sync.engine.push_registry import RegistryMeans
    from synapse_sync.engine.tools import Tools
    from synapse_sync.engine.trust import Trust
    from synapse_sync.sources.base import Means, Source
    from synapse_sync.store.blobs import BlobStore
    from synapse_sync.store.placed_elsewhere import PlacedElsewhere
    from synapse_sync.suppliers.git_files import GitFiles
    from synapse_sync.suppliers.hub_cache import HubCache
    from synapse_sync.suppliers.remote.remotes import Remotes
    from synapse_sync.suppliers.tree_files import TreeFiles
    from synapse_sync.transfer.fetcher import Transfers
    from synapse_sync.transfer.want import Offer, Want


class Wiring:
    """Everything that the verbs of one project work with; `close` ends it.

    `reporter` may be replaced until the first download. `trust` is the user's consent to everything that the
    manifest wants, and `ask` asks for it on a terminal.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        *,
        reporter: Reporter,
        offline: bool,
        trust: bool = False,
        ask: Callable[[str], bool] = lambda question: False,
    ) -> None:
        self.project = project
        self.settings = settings
        self.reporter = reporter
        self.offline = offline
        self.trust_given, self.ask = trust, ask
        self.connections: Connections = Connections(
            settings, offline=offline, note=lambda text: self.reporter.note(text)
        )

    def close(self) -> None:
        """Close connections, and keep the digests that were learned."""
        if {"tree_files", "transfers"} <= self.__dict__.keys():  # a command that only reads writes nothing
            self.tree_files.save()
        self.connections.close()

    @cached_property
    def _means(self) -> Means:
        """The means of the sources."""
        from synapse_sync.sources.base import Means

        settings = self.settings
        return Means(
            project=self.project.directory,
            api=lambda: self.connections.api,
            wire=lambda: self.connections.wire,
            credentials=lambda: self.connections.credentials,
            tls=self.connections.tls,
            tls_early=bool(settings.ca_bundles),
            retry=lambda: self.connections.retry,
            bounds=lambda: self.connections.bounds,
            at_close=self.connections.at_close,
            endpoints=settings.endpoints,
            asked=settings.asked,
            offline=self.offline,
        )

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """The sources by name, each with its module as soon as it is asked for."""
        return Register(self._means)

    @cached_property
    def public_sources(self) -> Mapping[str, Source]:
        """The sources at the sites' own addresses, for a file that other machines read. They only locate files."""
        endpoints = public_endpoints()
        return Register(
            replace(self._means, endpoints=endpoints, asked=lambda name: (endpoints[name][0], None), offline=True)
        )

    @cached_property
    def store(self) -> BlobStore:
        """The content-addressed store."""
        from synapse_sync.store.blobs import BlobStore
        from synapse_sync.store.owners import Owners

        main = BlobStore(self.settings.store, Owners(self.settings.store, self.settings.trusted_owners))
        if not self.settings.more_stores:
            return main
        from synapse_sync.store.several import SeveralStores

        more = [BlobStore(place, Owners(place, self.settings.trusted_owners)) for place in self._more_stores()]
        return SeveralStores((main, *more), self._roots) if more else main

    def _more_stores(self) -> Iterator[Path]:
        """The further stores that are there. One is never made here: its drive may only not be mounted."""
        for place in self.settings.more_stores:
            if place.is_dir():
                yield place
            else:
                self.reporter.warn(
                    f"the store {place} is missing, so it is not used: mount its drive, or make it if it is new"
                )

    def _roots(self) -> Iterator[Path]:
        """The roots of the targets; none if the manifest cannot be read, which others report."""
        from synapse_sync.store.roots import root_of

        with suppress(SynapseError):
            for target in self.project.manifest.targets:
                yield root_of(target.root, self.project.directory)

    @cached_property
    def placed_elsewhere(self) -> PlacedElsewhere:
        """The files that any project of this store has placed."""
        from synapse_sync.store.placed_elsewhere import PlacedElsewhere

        return PlacedElsewhere(self.settings.store)

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
        from synapse_sync.store.roots import root_of
        from synapse_sync.suppliers.tree_files import TreeFiles

        manifest = self.project.manifest
        own = {
            folder.parts[0]
            for entry in manifest.entries()
            for folder in (entry.subfolder, entry.folder, *dict(entry.folders).values())
            if folder is not None
        }
        own |= {folder.parts[0] for target in manifest.targets for _, folder in target.folders}
        folders = {
            # The root of a `flat` target may be any directory: only the files right in it count.
            (root_of(target.root, self.project.directory) / name, bool(name))
            for target in manifest.targets
            for name in {folder.partition("/")[0] for folder in folders_of(target.layout)} | own
        }
        folders |= {(tree, True) for tree in self.settings.trees}
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
            nearby=self._nearby_want,
            offers=self._offers,
        )

    @cached_property
    def remotes(self) -> Remotes | None:
        """The remotes of the settings, then those of the manifest; without any None, and nothing is imported."""
        named = self.settings.remotes
        with suppress(SynapseError):  # a manifest that cannot be read is reported by others
            named = tuple(dict.fromkeys((*named, *self.trust.named_remotes())))
        return self.remotes_at(named) if named else None

    def remotes_at(self, named: tuple[Remote, ...]) -> Remotes:
        """These remotes, with the means of this project; nothing is opened yet."""
        from synapse_sync.suppliers.remote.base import Means as RemoteMeans
        from synapse_sync.suppliers.remote.remotes import Remotes
        from synapse_sync.user.places import home_directory

        settings = self.settings
        means = RemoteMeans(
            wire=lambda: self.connections.wire,
            api=lambda: self.connections.api,
            credentials=lambda: self.connections.credentials,
            retry=lambda: self.connections.retry,
            environ=os.environ,
            home=home_directory(),
            allow_http=frozenset(map(str.lower, settings.allow_http)),
            certificates=settings.ca_bundles,
            offline=self.offline,
        )
        return Remotes(named, means, lambda: self.reporter, allowed=self._may_read)

    def _may_read(self, remote: Remote) -> bool:
        """Whether a remote is the user's own, or one of the manifest that the user has agreed to."""
        return remote in self.settings.remotes or not self.trust.missing(self.trust.remotes([remote]))

    def _offers(self, want: Want) -> Iterable[Offer]:
        return () if self.remotes is None else self.remotes.offers(want)

    def tools(self) -> Tools:
        """The tools of the verbs."""
        from synapse_sync.engine.tools import Tools

        return Tools(
            store=self.store,
            sources=self.sources,
            reporter=self.reporter,
            transfers=lambda: self.transfers,
            wire=lambda: self.connections.wire,
            retry=lambda: self.connections.retry,
            has_token=lambda url: self.connections.credentials.has_token(url),
            nearby=self._is_nearby,
            shared=self._is_shared,
            remotes=lambda: self.remotes,
            link_mode=self.settings.link_mode,
            trust=self.trust,
            mirrors=self.settings.mirrors,
            forbidden={key: str(self.settings.config) for key in self.settings.forbidden},
            offline=self.offline,
            latest=self.settings.latest,
        )

    @cached_property
    def trust(self) -> Trust:
        """The user's consent for this project."""
        from synapse_sync.engine.trust import Granted, Trust
        from synapse_sync.net.credentials import origin_of
        from synapse_sync.store.durable import write_private
        from synapse_sync.store.owners import Owners
        from synapse_sync.user.consent import ConsentFiles
        from synapse_sync.user.places import home_directory, settings_directory

        settings = self.settings
        beside = () if settings.config is None else (settings.config.parent,)
        endpoints = {origin_of(url) for urls in settings.endpoints.values() for url in urls}
        own = {str(place): "synapse's store" for place in (settings.store, *settings.more_stores)}
        if (usual := settings_directory()) is not None:
            own[usual] = "synapse's settings"
        return Trust(
            project=self.project,
            granted=Granted(
                everything=settings.trust_all,
                for_good=self.trust_given,
                projects=settings.trusted.get("projects", ()),
                roots=settings.trusted.get("roots", ()),
                hosts=frozenset(map(str.lower, (*settings.allow_http, *settings.trusted.get("hosts", ())))),
                origins=frozenset(endpoints | {origin_of(template) for template in settings.mirrors}),
            ),
            kept=ConsentFiles((settings.store, *beside), write_private, lambda place: Owners(place).mine),
            own=own,
            home=home_directory(),
            ask=self.ask,
        )

    @cached_property
    def git_files(self) -> GitFiles:
        """The small files of the store and of the targets' folders, by git's own hash."""
        from synapse_sync.suppliers.git_files import GitFiles

        return GitFiles(lambda: ((blob.path, blob.size) for blob in self.store.entries()), self.tree_files.of_size)

    def _nearby_want(self, want: Want) -> Iterator[Path]:
        """Files on this machine that seem to have the wanted bytes, by the digest that is known of them."""
        if want.sha256 is not None:
            yield from self._nearby(want.sha256, want.size, want.places)
        elif want.git_sha1 is not None:
            yield from self.hub_cache.files(want.git_sha1, want.size, want.places)
            if want.size is not None:
                yield from self.git_files.find(want.git_sha1, want.size)

    def nearby(self, artifact: Artifact) -> Iterator[Path]:
        """Files on this machine, beside the store, that seem to have the bytes of an artifact."""
        yield from self._nearby(artifact.sha256, artifact.size, artifact.locations)

    def registry_means(self) -> RegistryMeans:
        """The means of a push into a registry."""
        from synapse_sync.engine.push_registry import RegistryMeans

        settings = self.settings
        return RegistryMeans(
            api=self.connections.uploads,
            nearby=self.nearby,
            open_wire=lambda: self.connections.open_wire,
            uploads=settings.downloads,
            limit_rate=settings.limit_rate,
            allow_http=frozenset(map(str.lower, settings.allow_http)),
        )

    def _is_nearby(self, artifact: Artifact) -> bool:
        given = artifact.given
        return any(self._nearby(given.sha256, given.size, artifact.locations))

    def _is_shared(self, artifact: Artifact) -> bool:
        remotes = self.remotes
        return remotes is not None and any(map(remotes.is_shared, {artifact.sha256, artifact.given.sha256}))

    def file_for(self, upload: Upload) -> Path | None:
        """A file of this machine that seems to have the bytes of an upload: that of the store, or another one."""
        if self.store.has(upload.sha256):
            return self.store.path(upload.sha256)
        return next(self._nearby(upload.sha256, upload.size, ()), None)

    def _nearby(self, sha256: str, size: int | None, places: Iterable[Reference]) -> Iterator[Path]:
        """Files on this machine that seem to have these bytes.

        They are in the hub's cache, among the files that any project placed, or in the folders of the targets.
        """
        yield from self.hub_cache.files(sha256, size, places)
        yield from self.placed_elsewhere.files(sha256)
        if size is not None and (found := self.tree_files.find(sha256, size)) is not None:
            yield found

    @contextmanager
    def hold(self, name: str, what: str) -> Iterator[None]:
        """Hold a lock of the store by its name, if this user may; `what` is its description for other processes."""
        from synapse_sync.store.locks import hold, lock_path

        with hold(lock_path(self.settings.store, name), what, on_wait=self.reporter.note, optional=True):
            yield

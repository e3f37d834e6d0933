"""The tokens and the stores of a user on this machine, whatever the project."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from synapse_sync.core.reporter import Reporter
from synapse_sync.core.shard import WHOLE, Shard
from synapse_sync.errors import Offline
from synapse_sync.project import Project
from synapse_sync.user.places import home_directory
from synapse_sync.user.settings import Settings, load_settings
from synapse_sync.wiring import Wiring

if TYPE_CHECKING:
    from synapse_sync.engine.collect import Collection
    from synapse_sync.engine.parallel import Part
    from synapse_sync.engine.stores import StoreState
    from synapse_sync.engine.unbundle import Unbundled
    from synapse_sync.engine.verify import Verification
    from synapse_sync.engine.whoami import Identity
    from synapse_sync.net.credentials import Secret
    from synapse_sync.sites import Site
    from synapse_sync.store.blobs import BlobStore
    from synapse_sync.transfer.fetcher import Transfers
    from synapse_sync.user.tokens import Token


class Machine:
    """The part of a workspace that no manifest changes. Use it as a context manager; it closes its connections."""

    def __init__(
        self,
        project: Path | Project,
        settings: Settings,
        *,
        environ: Mapping[str, str] | None = None,
        reporter: Reporter | None = None,
        offline: bool = False,
        trust: bool = False,
        ask: Callable[[str], bool] = lambda question: False,
    ) -> None:
        if not isinstance(project, Project):
            project = Project(project, settings.store, settings.variants)
        self.project: Project = project
        self.settings = settings
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        offline = offline or settings.offline
        if not settings.store_named:
            from synapse_sync.store.durable import keep_private

            keep_private(settings.store)
        self._wiring = Wiring(
            self.project, settings, reporter=reporter or Reporter(), offline=offline, trust=trust, ask=ask
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections, and keep the digests that were learned."""
        self._wiring.close()

    # -- parts -------------------------------------------------------------------------------------

    @property
    def reporter(self) -> Reporter:
        """The reporter of progress; it may be replaced until the first download."""
        return self._wiring.reporter

    @reporter.setter
    def reporter(self, reporter: Reporter) -> None:
        self._wiring.reporter = reporter

    @property
    def store(self) -> BlobStore:
        """The content-addressed store."""
        return self._wiring.store

    @property
    def transfers(self) -> Transfers:
        """Everything that brings bytes into the store."""
        return self._wiring.transfers

    # -- tokens ------------------------------------------------------------------------------------

    def account(self, site: Site, token: Secret) -> str | None:
        """The owner of a token, as its site says; None if rewrites keep it from the site. Raises `AccessDenied`."""
        return self._wiring.connections.account(site, token)

    def identities(self, asked: Sequence[tuple[str, Site | None]]) -> tuple[Identity, ...]:
        """The owners of the tokens for these hosts; the site that comes with a host is asked."""
        from synapse_sync.engine.whoami import identities

        known = [(host, site, self.settings.token_for(host)) for host, site in asked]
        return identities(known, lambda site, token: self.account(site, token.secret))

    def keep_token(self, host: str, token: str) -> tuple[str, Token | None]:
        """Keep a token for a host; returns where it is kept, and the token that counts for the host from now on."""
        from synapse_sync.store.durable import write_private
        from synapse_sync.user.kept_tokens import keep

        with self._wiring.hold("tokens", "the kept tokens"):
            where = keep(self.settings.tokens_file, host, token, write=write_private)
        return where, self._settings_anew().token_for(host)

    def forget_token(self, host: str) -> tuple[bool, tuple[str, ...], Token | None]:
        """Forget the kept token for a host.

        Returns whether there was one, warnings, and the token that still counts, from another place.
        """
        from synapse_sync.store.durable import write_private
        from synapse_sync.user.kept_tokens import forget

        with self._wiring.hold("tokens", "the kept tokens"):
            forgotten, warnings = forget(self.settings.tokens_file, host, write=write_private)
            return forgotten, warnings, self._settings_anew().token_for(host)

    def _settings_anew(self) -> Settings:
        return load_settings(self.environ, home_directory())

    # -- the store ---------------------------------------------------------------------------------

    def plan_collection(self, *, irreplaceable: bool = False, at_once: bool = False) -> Collection:
        """The blobs that no known project uses; nothing is dropped. With `at_once`, also those of the last hour."""
        from synapse_sync.engine.collect import plan_collection

        return plan_collection(
            self.settings.store, others=self._other_stores(), irreplaceable=irreplaceable, at_once=at_once
        )

    def collect(
        self, plan: Collection, on_wait: Callable[[str], None] | None = None, *, at_once: bool = False
    ) -> int:
        """Drop the blobs of a plan; returns the freed bytes. `on_wait` hears of a process to wait for."""
        from synapse_sync.engine.collect import collect

        others = self._other_stores()
        return collect(self.settings.store, plan, others=others, on_wait=on_wait, at_once=at_once)

    def sweep_store(self) -> None:
        """Remove from the store what killed processes left there long ago; no blob is dropped."""
        from synapse_sync.engine.collect import sweep

        sweep(self.settings.store, others=self._other_stores())

    def forget(self, directory: Path) -> None:
        """Forget a project of the store by its directory, which need not exist; raises `InputError`."""
        from synapse_sync.engine.collect import forget

        forget(self.settings.store, directory, others=self._other_stores())

    def verify_store(self, shard: Shard = WHOLE, dask: str | None = None) -> Verification:
        """Hash every blob of the store; bad ones go to quarantine. `part` has the meaning of the parameters."""
        from synapse_sync.engine.verify import verify_store

        part = self.part(shard, dask)
        return verify_store(self.settings.store, others=self._other_stores(), repair=True, part=part)

    def part(self, shard: Shard = WHOLE, dask: str | None = None) -> Part:
        """A part of some work: `shard` of the files, on the workers of the scheduler at `dask`, or in threads here.

        Raises `InputError` where the package for `dask` is missing, and `Offline`.
        """
        from synapse_sync.engine.parallel import Part, readers, threads

        if dask is None:
            from synapse_sync.store.several import device_of

            return Part(
                each=threads(readers({device_of(member.root) for member in self.store.members})), shard=shard
            )
        from synapse_sync.engine.cluster import cluster

        if self._wiring.offline:
            raise Offline("--dask needs a connection to its scheduler, and --offline prevents it")
        return Part(each=cluster(dask), shard=shard, smallest=0)

    @staticmethod
    def opened_bundle(path: Path) -> AbstractContextManager[BinaryIO]:
        """A bundle, open for reading; raises `InputError`."""
        from synapse_sync.store.bundle_file import opened

        return opened(path)

    def unbundle(self, source: BinaryIO, directory: Path) -> Unbundled:
        """Bring a bundle into the store, and write its project into a directory; the bundle may be anybody's."""
        from synapse_sync.engine.unbundle import unbundle

        return unbundle(source, directory, self._wiring.tools(), preferred=self.settings.variants)

    def _other_stores(self) -> tuple[Path, ...]:
        return tuple(member.root for member in self.store.members[1:])

    def stores(self) -> tuple[StoreState, ...]:
        """All stores of this user, the main one first, as they are on disk."""
        from synapse_sync.engine.stores import states

        return states(self.settings.store, self.settings.more_stores)

    def add_store(self, directory: Path) -> None:
        """Make a directory on another volume a store, and list it in the settings; raises `InputError`."""
        from synapse_sync.engine.stores import add_store

        settings = self.settings
        with self._wiring.hold("settings", "the settings"):
            known = (settings.store, *settings.more_stores)
            add_store(directory, settings.config, known, settings.listed_stores)

    def remove_store(self, directory: Path) -> None:
        """List a store no longer in the settings; its files stay. Raises `InputError`."""
        from synapse_sync.engine.stores import leave_out

        settings = self.settings
        with self._wiring.hold("settings", "the settings"):
            leave_out(directory, settings.config, settings.store, settings.listed_stores)

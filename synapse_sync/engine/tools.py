"""Tools: the store, the sites and the connections that the verbs work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import InputError

if TYPE_CHECKING:
    from synapse_sync.core.artifact import Artifact
    from synapse_sync.core.link_mode import LinkMode
    from synapse_sync.core.reference import Reference
    from synapse_sync.core.reporter import Reporter
    from synapse_sync.engine.trust import Trust
    from synapse_sync.net.retries import Retry
    from synapse_sync.net.wire import Wire
    from synapse_sync.sources.base import Source
    from synapse_sync.store.blobs import BlobStore
    from synapse_sync.suppliers.remote.remotes import Remotes
    from synapse_sync.transfer.fetcher import Transfers


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """One set of tools for one command; each connection is made when it is first needed.

    `transfers` and `wire` return the means to bring bytes into the store, and the client for files. `retry` returns
    how often and how patiently a request is repeated. `has_token` says whether a request to a URL would carry a
    token. `nearby` says whether a cache on this machine seems to have a file, `shared` whether the directory of a
    remote has it under its digest. `link_mode` is the user's default, `mirrors` are the user's own, as URL
    templates. `trust` is the user's consent for this project. `forbidden` are the permissions that the user's
    settings withhold from every manifest, each with the file of those settings. `remotes` returns the remotes of
    this run, None without any. `latest` is the value of SOURCE_DATE_EPOCH: no placed file gets a later time, in
    seconds since 1970.
    """

    store: BlobStore
    sources: Mapping[str, Source]
    reporter: Reporter
    transfers: Callable[[], Transfers]
    wire: Callable[[], Wire]
    retry: Callable[[], Retry]
    has_token: Callable[[str], bool]
    nearby: Callable[[Artifact], bool]
    shared: Callable[[Artifact], bool]
    remotes: Callable[[], Remotes | None]
    link_mode: LinkMode
    trust: Trust
    mirrors: tuple[str, ...] = ()
    forbidden: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False
    latest: int | None = None

    def local_path(self, reference: Reference) -> str | None:
        """The path of a file on this machine; None for any other reference, or without its home directory."""
        try:
            return self.sources["path"].locate(reference).path if reference.source == "path" else None
        except InputError:
            return None

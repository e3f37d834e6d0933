"""Connections: every way out of this machine, with the tokens and certificates that belong to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from synapse_sync.user.settings import Settings

if TYPE_CHECKING:
    import ssl

    from synapse_sync.net.api import Api
    from synapse_sync.net.bounds import Bounds
    from synapse_sync.net.credentials import Credentials, Grant, Renewing, Secret
    from synapse_sync.net.registry_tokens import Login
    from synapse_sync.net.retries import Retry
    from synapse_sync.net.wire import Wire
    from synapse_sync.sites import Site
    from synapse_sync.sources.civitai.client import Client


#: Seconds to connect in, for a user who waits.
_HASTY_CONNECT = 2.5
#: Seconds in which a server verifies a large file that was sent to it, and moves it to its place.
_PATIENCE = 600.0
_API_CONNECTIONS = 4


class Connections:
    """The clients for APIs and files, each made when it is first needed; `close` closes them all.

    `note` reports that a request waits for its next attempt. `retry` and `bounds` say how patient all clients are;
    the defaults follow the settings. `hasty`, which may be set before the first request, is for a user who waits:
    a dead network is reported within three seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        offline: bool,
        note: Callable[[str], None],
        retry: Retry | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.settings = settings
        self.offline = offline
        self._note = note
        self.hasty = False
        self._retry = retry
        self._bounds = bounds
        self._credentials: Credentials | None = None
        self._tls: ssl.SSLContext | None = None
        self._api: Api | None = None
        self._uploads: Api | None = None
        self._wire: Wire | None = None
        self._cleanup = ExitStack()
        self._making = threading.RLock()  # sources are asked from several threads, and share one client

    def close(self) -> None:
        """Close connections; a later request opens new ones."""
        self._cleanup.close()
        self._api = self._uploads = self._wire = None

    def at_close(self, ending: Callable[[], None]) -> None:
        """Call `ending` once, when the connections are closed."""
        self._cleanup.callback(ending)

    @property
    def credentials(self) -> Credentials:
        """All tokens, and the rules where each may be sent."""
        with self._making:  # race: of two, one client would know the tokens of registries, and another would not
            if self._credentials is None:
                self._credentials = self._credentials_of(self.settings.grants, renewing=self._registry_tokens())
            return self._credentials

    def _credentials_of(self, grants: Sequence[Grant], renewing: Renewing | None = None) -> Credentials:
        from synapse_sync.net.credentials import Credentials
        from synapse_sync.net.rewrites import Rewrites

        rewrites = Rewrites(self.settings.rewrites)
        return Credentials(grants, allow_http=self.settings.allow_http, rewrites=rewrites, renewing=renewing)

    def _registry_tokens(self) -> Renewing:
        """The tokens of registries, for which the logins of Docker and Podman are shown to them."""
        from synapse_sync.net.registry_tokens import RegistryTokens

        def login(host: str, name: str) -> Login | None:
            import shutil

            from synapse_sync.user.docker_logins import DockerLogins
            from synapse_sync.user.places import home_directory

            return DockerLogins(os.environ, home_directory(), shutil.which).of(host, name)

        plain = self._credentials_of(())
        return RegistryTokens(
            login=login, client=lambda grants: self._client(self._credentials_of(grants)), check=plain.check_realm
        )

    def tls(self) -> ssl.SSLContext:
        """The certificates that all connections trust."""
        with self._making:
            if self._tls is None:
                from synapse_sync.net.trust import tls_context

                self._tls = tls_context(self.settings.ca_bundles)
            return self._tls

    @property
    def retry(self) -> Retry:
        """How often and how patiently a request is repeated."""
        if self._retry is None:
            from synapse_sync.net.retries import Retry

            usual, delay = Retry(), self.settings.retry_delay
            longest = delay * usual.longest / usual.first_delay
            self._retry = Retry(first_delay=delay, longest=longest, hasty=self.hasty)
        return self._retry

    @property
    def bounds(self) -> Bounds:
        """How long each step of a request may last."""
        if self._bounds is None:
            from synapse_sync.net.bounds import Bounds

            self._bounds = Bounds(connect=_HASTY_CONNECT) if self.hasty else Bounds()
        return self._bounds

    @property
    def api(self) -> Api:
        """The client for the sites' JSON APIs."""
        with self._making:
            if self._api is None:
                self._api = self._cleanup.enter_context(self._client(self.credentials))
            return self._api

    def uploads(self) -> Api:
        """A client that sends files; a server may be busy with one for some minutes before it answers."""
        with self._making:
            if self._uploads is None:
                bounds = replace(self.bounds, read=_PATIENCE, answer=2 * _PATIENCE)
                self._uploads = self._cleanup.enter_context(self._client(self.credentials, bounds))
            return self._uploads

    def _client(self, credentials: Credentials, bounds: Bounds | None = None) -> Api:
        from synapse_sync.net.api import Api

        return Api(
            credentials,
            offline=self.offline,
            retry=self.retry,
            bounds=bounds or self.bounds,
            connections=max(_API_CONNECTIONS, self.settings.downloads),
            tls=self.tls,
            tls_early=bool(self.settings.ca_bundles),
            on_wait=self._note,
        )

    def account(self, site: Site, token: Secret) -> str | None:
        """Return the name of the account that a token of this site belongs to, as the site says.

        The answer is None if the user's rewrites send its requests elsewhere. Raises `AccessDenied` if the site
        refuses the token. Only this token is sent, and only to this site.
        """
        from synapse_sync.net.credentials import Grant, origin_of
        from synapse_sync.sources.accounts import account_of

        endpoint = self.settings.endpoints[site.name][0]
        credentials = self._credentials_of([Grant(origin_of(endpoint), token)])
        if credentials.is_rewritten(endpoint):
            return None
        with self._client(credentials) as api:
            return account_of(site, api, endpoint)

    @property
    def civitai(self) -> Client:
        """Civitai's API, for search and information."""
        from synapse_sync.sources.civitai.client import Client

        return Client(self.api, self.settings.endpoints["civitai"][0])

    @cached_property
    def open_wire(self) -> Wire:
        """A client for files without any token: it sees what everybody may see."""
        from synapse_sync.net.wire import Wire

        found = Wire(self.credentials.instead(()), offline=self.offline, bounds=self.bounds, tls=self.tls)
        self._cleanup.callback(found.close)
        return found

    @property
    def wire(self) -> Wire:
        """The client for the files themselves."""
        with self._making:
            if self._wire is None:
                from synapse_sync.net.wire import Wire

                self._wire = Wire(
                    self.credentials,
                    offline=self.offline,
                    bounds=self.bounds,
                    connections=self.settings.connections,
                    tls=self.tls,
                )
                self._cleanup.callback(self._wire.close)
            return self._wire

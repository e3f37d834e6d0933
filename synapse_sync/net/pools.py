"""Connections for file bytes: in the lane, in pools of urllib3, or through the proxy that the environment names."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from synapse_sync.net.answers import TimedResponse
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.dial import Dialer
from synapse_sync.net.lane import Connection, Lane, LaneAnswer, LeftLane
from synapse_sync.net.proxies import Proxies, Proxy
from synapse_sync.net.way import way_to

if TYPE_CHECKING:
    import urllib3.connection  # imported when the first byte is needed


def library_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the exceptions of a request or a body that failed, and `more`; urllib3 is imported only then."""
    # By the module's own name: where memory ran out in the first import, the package lacks its attributes.
    from urllib3.exceptions import HTTPError

    return OSError, http.client.HTTPException, HTTPError, *more


class Pools:
    """All pools of one client, by proxy; safe to use from threads.

    `connections` are kept open for each host at most. `tls` returns the certificates; it is called late and once,
    since reading them takes as long as a small file.
    """

    def __init__(
        self,
        *,
        connections: int,
        bounds: Bounds,
        tls: Callable[[], ssl.SSLContext],
        proxies: Proxies | None = None,
        dialer: Dialer | None = None,
    ) -> None:
        self._connections = connections
        self._bounds = bounds
        self._certificates = tls
        self._context: ssl.SSLContext | None = None
        self.proxies: Proxies = proxies or Proxies()
        self._dialer = dialer or Dialer()
        self._managers: dict[str | Proxy, urllib3.PoolManager] = {}
        self._lock = threading.RLock()
        self._lane = Lane(connections=connections, bounds=bounds, tls=self._tls, dialer=self._dialer)

    def prepare(self, url: str) -> None:
        """Read what a request for this URL needs; raises `Blocked` for an unusable proxy, or like `tls_context`."""
        self.proxies.of(url)
        if url.startswith("https:"):
            self._tls()

    def expect(self, url: str, count: int) -> None:
        """Begin to open connections for `count` requests that follow soon; nothing is done outside the lane."""
        way = way_to(url) if self.proxies.of(url) is None else None
        if way is not None:
            self.prepare(url)
            self._lane.expect(way, count)

    def round_trip(self, url: str) -> float | None:
        """The seconds of a round trip to the host of a URL; None if unknown, as through a proxy."""
        parts = urlsplit(url)
        if parts.hostname is None or self.proxies.of(url) is not None:
            return None
        return self._dialer.round_trip(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))

    def send(self, method: str, url: str, headers: Mapping[str, str]) -> LaneAnswer | urllib3.BaseHTTPResponse:
        """Send a request and return the answer, its body unread.

        Raises what `library_errors` names, `ValueError` for a request that cannot be sent, or `Blocked` for an
        unusable proxy.
        """
        way = way_to(url) if method == "GET" and self.proxies.of(url) is None else None
        if way is not None:
            try:
                return self._lane.get(way, headers)
            except LeftLane as left:
                return self._thorough(left.connection, url)
        return self.manager(url).urlopen(
            method,
            url,
            headers=dict(headers),
            preload_content=False,
            decode_content=False,
            redirect=False,
            retries=False,
        )

    def _thorough(self, connection: Connection, url: str) -> urllib3.BaseHTTPResponse:
        """Read an unusual answer as urllib3 does; its connection serves no other request."""
        import urllib3

        class Answer(TimedResponse):
            longest_head = self._bounds.head

        try:
            answer = Answer(connection, method="GET", url=url)
            answer.begin()
            return urllib3.HTTPResponse(
                body=answer,
                headers=urllib3.HTTPHeaderDict(answer.msg.items()),
                status=answer.status,
                reason=answer.reason,
                preload_content=False,
                decode_content=False,
                original_response=answer,
                connection=connection,  # type: ignore[arg-type]  # it is only closed
                request_method="GET",
                request_url=url,
                sock_shutdown=connection.sock.shutdown,
            )
        except BaseException:
            connection.close()
            raise

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = self._certificates()
                self._context.set_alpn_protocols(["http/1.1"])
            return self._context

    def manager(self, url: str) -> urllib3.PoolManager:
        """The pools for this URL; raises `Blocked` for an unusable proxy."""
        scheme, proxy = urlsplit(url).scheme.lower(), self.proxies.of(url)
        key = proxy or scheme
        with self._lock:
            manager = self._managers.get(key)
            if manager is None:
                encrypted = proxy is not None or scheme != "http"
                manager = self._managers[key] = self._connect(proxy, encrypted=encrypted)
            return manager

    def close(self) -> None:
        """Close the idle connections; a later request opens new ones."""
        with self._lock:
            managers, self._managers = self._managers, {}
        self._lane.close()
        for manager in managers.values():
            manager.clear()

    def _connect(self, proxy: Proxy | None, *, encrypted: bool) -> urllib3.PoolManager:
        import urllib3

        options: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": self._connections,
            "retries": False,
            "timeout": urllib3.Timeout(connect=self._bounds.connect, read=self._bounds.read),
        }
        if encrypted:  # reading all certificates takes a while
            options["ssl_context"] = self._tls()
        if proxy is None:
            return self._ours(urllib3.PoolManager(**options))
        return self._ours(
            urllib3.ProxyManager(
                proxy.url,
                proxy_headers=dict(proxy.headers),
                proxy_ssl_context=options["ssl_context"],
                **options,
            )
        )

    def _ours(self, manager: urllib3.PoolManager) -> urllib3.PoolManager:
        """The same manager, with connections that race the addresses of a host, and answers with bounded heads."""
        from urllib3 import connection, connectionpool

        connect = _connector(self._dialer)

        class Answer(TimedResponse):
            longest_head = self._bounds.head

        class Plain(connection.HTTPConnection):
            response_class = Answer
            _new_conn = connect

        class Secure(connection.HTTPSConnection):
            response_class = Answer
            _new_conn = connect

        class PlainPool(connectionpool.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(connectionpool.HTTPSConnectionPool):
            ConnectionCls = Secure

        manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
        return manager


def _connector(dialer: Dialer) -> Callable[[urllib3.connection.HTTPConnection], socket.socket]:
    """Return the method of a urllib3 connection that opens its socket.

    Hazard: `_new_conn`, to which it is assigned, is a private name. If a new version of urllib3 drops it, dead
    addresses are slow again, and a test fails.
    """
    from urllib3 import exceptions as lib

    def connect(self: urllib3.connection.HTTPConnection) -> socket.socket:
        timeout = self.timeout if isinstance(self.timeout, int | float) else None
        try:
            return dialer.connect(
                self._dns_host,
                self.port,
                timeout=timeout,
                source=self.source_address,
                options=self.socket_options,
            )
        except socket.gaierror as error:
            raise lib.NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise lib.ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise lib.NewConnectionError(self, str(error)) from error

    return connect

"""Connection pools for file bytes: direct, or through the proxy that the environment names."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from synapse_sync.errors import NetworkError
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.clock import TimedResponse
from synapse_sync.net.proxies import proxy_for

if TYPE_CHECKING:
    import urllib3  # imported when the first byte is needed


class Pools:
    """All pools of one client, by proxy; safe to use from threads.

    `connections` are kept open for each host at most. `tls` returns the certificates, `proxy_for` the proxy of a
    scheme and host: both are asked late and once, since each takes as long as a small file.
    """

    def __init__(
        self,
        *,
        connections: int,
        bounds: Bounds,
        tls: Callable[[], ssl.SSLContext],
        proxy_for: Callable[[str, str], str | None] = proxy_for,
    ) -> None:
        self._connections = connections
        self._bounds = bounds
        self._tls = tls
        self._proxy_for = proxy_for
        self._managers: dict[str, urllib3.PoolManager] = {}
        self._proxies: dict[tuple[str, str], str | None] = {}
        self._lock = threading.Lock()

    def manager(self, url: str) -> urllib3.PoolManager:
        """The pools for this URL; raises `NetworkError` for an unusable proxy."""
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
        if (scheme, host) not in self._proxies:
            self._proxies[scheme, host] = self._proxy_for(scheme, host)
        proxy = self._proxies[scheme, host]
        key = proxy or scheme
        with self._lock:
            manager = self._managers.get(key)
            if manager is None:
                manager = self._managers[key] = self._connect(proxy, encrypted=proxy is not None or key != "http")
            return manager

    def close(self) -> None:
        """Close the idle connections; a later request opens new ones."""
        with self._lock:
            managers, self._managers = self._managers, {}
        for manager in managers.values():
            manager.clear()

    def _connect(self, proxy: str | None, *, encrypted: bool) -> urllib3.PoolManager:
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
            return self._timed(urllib3.PoolManager(**options))
        try:
            parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
            bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            login = parts.netloc.rpartition("@")[0]
            headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
            return self._timed(
                urllib3.ProxyManager(
                    bare, proxy_headers=headers, proxy_ssl_context=options["ssl_context"], **options
                )
            )
        except (ValueError, urllib3.exceptions.HTTPError):
            raise NetworkError(
                "the proxy in the environment cannot be used",
                hint="http:// and https:// proxies work; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY",
            ) from None

    def _timed(self, manager: urllib3.PoolManager) -> urllib3.PoolManager:
        """The same manager, whose answers must have all their headers in time."""
        from urllib3 import connection, connectionpool

        class Answer(TimedResponse):
            longest_head = self._bounds.head

        class Plain(connection.HTTPConnection):
            response_class = Answer

        class Secure(connection.HTTPSConnection):
            response_class = Answer

        class PlainPool(connectionpool.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(connectionpool.HTTPSConnectionPool):
            ConnectionCls = Secure

        manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
        return manager

"""Transports for httpx and its likes, with the same proxies, addresses and limits as for file bytes."""

from __future__ import annotations

import contextlib
import importlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from synapse_sync.net.bounds import Bounds
from synapse_sync.net.dial import Dialer
from synapse_sync.net.proxies import Proxies, Proxy


class Transports:
    """One transport of a library for each proxy, and one for direct connections; safe to use from threads.

    `library` is httpx or a module that is like it, `connections` the number of connections for each transport.
    `tls` returns the certificates. It is called late, since reading them takes longer than most requests.
    """

    def __init__(
        self,
        library: Any,
        *,
        tls: Callable[[], ssl.SSLContext],
        bounds: Bounds,
        connections: int,
        dialer: Dialer | None = None,
    ) -> None:
        self._library = library
        self._tls = tls
        self._bounds = bounds
        self._limits = library.Limits(max_connections=connections)
        self._backend = _backend_of(library, dialer or Dialer(), bounds.answer)
        self.proxies: Proxies = Proxies()
        self._made: dict[tuple[Proxy | None, bool], Any] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> Iterator[Any]:
        """Send one request, and yield the library's response, whose body is read inside the `with`.

        The names of `headers` are in lower case. A body in pieces without `content-length` is sent in
        chunks.

        Raises exceptions of the library, or `Blocked` for an unusable proxy. No client of the library is used:
        one would keep cookies, and judges redirects before they can be judged here.
        """
        bounds = self._bounds
        waits = {"connect": bounds.connect, "read": bounds.read, "write": bounds.read, "pool": bounds.read}
        request = self._library.Request(
            method,
            url,
            headers={"accept-encoding": "gzip, deflate", "connection": "keep-alive", **headers},
            content=body,
            extensions={"timeout": waits},
        )
        encrypted = request.url.scheme == "https"
        response = self._transport_for(self.proxies.of(url), encrypted).handle_request(request)
        response.request = request
        try:
            yield response
        finally:
            response.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            made, self._made = self._made, {}
        for transport in made.values():
            transport.close()

    def _transport_for(self, proxy: Proxy | None, encrypted: bool) -> Any:
        with self._lock:
            if (proxy, encrypted) not in self._made:
                self._made[proxy, encrypted] = self._transport(proxy, encrypted)
            return self._made[proxy, encrypted]

    def _transport(self, proxy: Proxy | None, encrypted: bool) -> Any:
        through = None
        if proxy is not None:
            context = self._tls() if proxy.encrypted else None
            through = self._library.Proxy(proxy.url, headers=list(proxy.headers), ssl_context=context)
        # A transport for plain requests trusts no certificate at all: it meets none.
        context = self._tls() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        transport = self._library.HTTPTransport(verify=context, trust_env=False, limits=self._limits, proxy=through)
        # Hazard: a private name. The library has no option for this; its httpcore has, and reads it for each
        # connection. If a new version drops the name, dead addresses are slow again, and a test fails.
        transport._pool._network_backend = self._backend
        return transport


def http_library() -> Any:
    """Import httpx without its own command line, whose rich and pygments take half of the time of the import.

    httpx does without them where they are not installed; the entry makes it look so, for the time of the import.
    """
    line = "httpx._main"
    if "httpx" in sys.modules or line in sys.modules:
        return importlib.import_module("httpx")
    sys.modules[line] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("httpx")
    finally:
        sys.modules.pop(line, None)


def _backend_of(library: Any, dialer: Dialer, longest: float) -> Any:
    """Return a network backend for the library's httpcore: it connects by `dialer`, and bounds whole answers.

    `longest` is the time of an answer in seconds, from the request to the last byte.
    """
    core = importlib.import_module(library.HTTPTransport.__module__.partition(".")[0].replace("httpx", "httpcore"))
    # Hazard: a private module. It holds the only stream of httpcore that encrypts inside an encrypted proxy, too.
    plain = importlib.import_module(f"{core.__name__}._backends.sync").SyncStream
    bounded = _bounded_stream(core, longest)

    class Backend(core.SyncBackend):  # type: ignore[misc,name-defined]
        """Opens connections."""

        def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Any = None,
        ) -> Any:
            nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source = None if local_address is None else (local_address, 0)
            options = [*(socket_options or ()), nodelay]
            try:
                sock = dialer.connect(host, port, timeout=timeout, source=source, options=options)
            except TimeoutError as error:
                raise core.ConnectTimeout(str(error)) from error
            except OSError as error:
                raise core.ConnectError(str(error)) from error
            return bounded(plain(sock))

    return Backend()


def _bounded_stream(core: Any, longest: float) -> Any:
    """Return a class of connections whose answers have to end within `longest` seconds.

    The library's own limit is for each read alone, so that a server which drips could hold a request for days.
    """

    class Bounded(core.NetworkStream):  # type: ignore[misc]
        """A connection around another one."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner
            self._until = time.monotonic() + longest

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            left = self._until - time.monotonic()
            try:
                if left <= 0:
                    raise core.ReadTimeout
                data: bytes = self._inner.read(max_bytes, left if timeout is None else min(timeout, left))
            except core.ReadTimeout:
                if time.monotonic() < self._until:
                    raise
                raise core.ReadTimeout("the answer did not end in time") from None
            return data

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._until = time.monotonic() + longest
            self._inner.write(buffer, timeout)

        def close(self) -> None:
            self._inner.close()

        def start_tls(
            self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
        ) -> Any:
            return Bounded(self._inner.start_tls(ssl_context, server_hostname, timeout))

        def get_extra_info(self, info: str) -> Any:
            return self._inner.get_extra_info(info)

    return Bounded

"""How the hub's own library connects: with our certificates and rewrites, and past proxies on this machine."""

from __future__ import annotations

import importlib
import ssl
import threading
from collections.abc import Callable
from typing import Any

from synapse_sync.errors import NetworkError
from synapse_sync.net.credentials import Credentials
from synapse_sync.net.trust import secure_proxies

#: A proxy cannot reach what only this machine can.
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")
_lock = threading.Lock()
_installed: tuple[Callable[[], ssl.SSLContext], Credentials | None] | None = None
#: The class of the library's own client, and its hooks.
_theirs: tuple[Any, dict[str, list[Any]]] | None = None


def connect_as_we_do(tls: Callable[[], ssl.SSLContext], credentials: Credentials | None) -> None:
    """Give the library a client with these certificates and rules; its hooks stay. Once is enough.

    Threads come here together, and a new client closes the connections of the old one: `tls` itself tells whether
    it is the same, since each call of it may make a new context.
    """
    global _installed, _theirs
    with _lock:
        if _installed == (tls, credentials):
            return
        context = tls()
        from huggingface_hub import get_session, set_client_factory

        try:
            if _theirs is None:
                own = get_session()
                _theirs = type(own), own.event_hooks
            kind, hooks = _theirs
            if credentials is not None:
                hooks = {**hooks, "request": [*hooks["request"], _rewriting(credentials)]}
            library = importlib.import_module(kind.__module__.partition(".")[0])

            def client() -> Any:
                return kind(
                    event_hooks=hooks,
                    follow_redirects=True,
                    timeout=None,
                    verify=context,
                    mounts={**secure_proxies(library, context), **dict.fromkeys(_LOOPBACK)},
                )

            set_client_factory(client)
            get_session()
        except (ImportError, ValueError):
            raise NetworkError(
                "the proxy in the environment cannot be used", hint="check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
            ) from None
        _installed = (tls, credentials)


def _rewriting(credentials: Credentials) -> Callable[[Any], None]:
    """A hook that sends each request, the hops of a redirect too, where the user has that host asked."""

    def rewrite(request: Any) -> None:
        asked = credentials.destination(str(request.url))
        if asked != str(request.url):
            request.url = type(request.url)(asked)
            request.headers["Host"] = request.url.netloc.decode("ascii")
            # The endpoint itself was rewritten before: this is a hop, whose token would be another host's.
            request.headers.pop("Authorization", None)

    return rewrite

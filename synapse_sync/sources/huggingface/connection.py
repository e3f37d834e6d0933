"""How the hub's own library connects: with our certificates, and past the proxies for what is on this machine."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any

from synapse_sync.errors import NetworkError

#: A proxy cannot reach what only this machine can.
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")
_lock = threading.Lock()
_installed: Callable[[], ssl.SSLContext] | None = None


def connect_as_we_do(tls: Callable[[], ssl.SSLContext]) -> None:
    """Give the library a client with these certificates; its hooks stay. Nothing happens when it has it already.

    Threads come here together, and a new client closes the connections of the old one: `tls` itself tells whether
    it is the same, since each call of it may make a new context.
    """
    global _installed
    with _lock:
        if _installed == tls:
            return
        context = tls()
        from huggingface_hub import get_session, set_client_factory

        try:
            own = get_session()
        except (ImportError, ValueError):
            raise NetworkError(
                "the proxy in the environment cannot be used", hint="check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
            ) from None
        kind, hooks = type(own), own.event_hooks

        def client() -> Any:
            return kind(
                event_hooks=hooks,
                follow_redirects=True,
                timeout=None,
                verify=context,
                mounts=dict.fromkeys(_LOOPBACK),
            )

        set_client_factory(client)
        _installed = tls

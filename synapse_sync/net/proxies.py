"""Proxies: those of the environment's variables and, on macOS and Windows, of the system's settings."""

from __future__ import annotations

import os
import sys

from synapse_sync.net.addresses import is_loopback


def getproxies() -> dict[str, str]:
    """The proxies by scheme. Where only variables could name one and none does, nothing is imported for it."""
    if sys.platform not in ("darwin", "win32") and not any(n.lower().endswith("_proxy") for n in os.environ):
        return {}
    import urllib.request

    return urllib.request.getproxies()


def proxy_bypass(host: str) -> bool:
    """Whether a host is to be reached without the proxy."""
    import urllib.request

    return bool(urllib.request.proxy_bypass(host))


def proxy_for(scheme: str, host: str) -> str | None:
    """The URL of the proxy for requests of this scheme to this host; None if it is asked directly.

    This machine is never asked through a proxy: a proxy cannot reach what only this machine can.
    """
    if is_loopback(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(host) else proxy

"""Proxies: what the variables say and, on some systems, the settings. The library for that is not always needed."""

from __future__ import annotations

import os
import sys


def getproxies() -> dict[str, str]:
    """The proxies by scheme; where only variables could name one and none does, without loading anything."""
    if sys.platform not in ("darwin", "win32") and not any(n.lower().endswith("_proxy") for n in os.environ):
        return {}
    import urllib.request

    return urllib.request.getproxies()


def proxy_bypass(host: str) -> bool:
    """Whether a host is to be reached without the proxy."""
    import urllib.request

    return bool(urllib.request.proxy_bypass(host))

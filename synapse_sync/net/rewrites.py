"""Hosts that the user has asked elsewhere: mirrors, caches and gateways of their own."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


class Rewrites:
    """Where requests for some hosts go instead; what is written into files never changes by it.

    A pair is a host (`huggingface.co`, with a port where it is not the usual one) and the beginning of the URL to
    put in place of `https://HOST`. A URL is rewritten once, never a second time.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._targets = {host.lower(): target.rstrip("/") for host, target in pairs}

    def apply(self, url: str) -> str:
        """The URL that is asked for this one."""
        target = self._target(url)
        if target is None or url == target or url.startswith((f"{target}/", f"{target}?")):
            return url
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{target}{parts.path}{query}"

    def _target(self, url: str) -> str | None:
        if not self._targets:
            return None
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return None
        usual = _PORTS.get(parts.scheme.lower())
        if usual is None or "@" in parts.netloc or "\\" in url:
            return None
        host = f"[{host}]" if ":" in host else host
        if (port or usual) == usual and host in self._targets:
            return self._targets[host]
        return self._targets.get(f"{host}:{port or usual}")

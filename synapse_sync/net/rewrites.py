"""Hosts in whose place the user names others: mirrors, caches and gateways."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from synapse_sync.net.ports import PORTS


class Rewrites:
    """The hosts whose requests go elsewhere. Files of synapse keep the original addresses.

    Each of `pairs` is a host (`huggingface.co`, with a port where it is not the usual one) and the beginning of the
    URL that replaces `https://HOST`. A URL is rewritten once, never a second time.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._targets = {host.lower(): target.rstrip("/") for host, target in pairs}

    def apply(self, url: str) -> str:
        """Return the URL that is really requested for this one."""
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
        usual = PORTS.get(parts.scheme.lower())
        if usual is None or "@" in parts.netloc or "\\" in url:
            return None
        host = f"[{host}]" if ":" in host else host
        if (port or usual) == usual and host in self._targets:
            return self._targets[host]
        return self._targets.get(f"{host}:{port or usual}")

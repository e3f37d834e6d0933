"""Proxies: those of the environment's variables and, on macOS and Windows, of the system's settings.

All HTTP clients ask `proxy_for`, so that one setting means the same for each of them.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from synapse_sync.errors import Blocked
from synapse_sync.net.addresses import is_loopback
from synapse_sync.net.ports import PORTS

_HINT = "synapse uses http:// and https:// proxies: correct or unset HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through: its URL without a login, and the headers that carry the login."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether the proxy itself is asked over https."""
        return self.url.startswith("https:")


def proxy_for(scheme: str, host: str, port: int | None = None) -> Proxy | None:
    """Return the proxy for requests of this scheme to this host and port; None if the host is asked directly.

    This machine is never asked through a proxy: a proxy cannot reach what only this machine can. Raises
    `Blocked` for a proxy that cannot be used; neither its message nor its hint contains the login.
    """
    if is_loopback(host):
        return None
    proxies = getproxies()
    for name in (scheme, "all"):
        if proxies.get(name, "").strip():
            return None if _is_exempt(host, port, proxies.get("no", "")) else _read(proxies[name], name)
    return None


class Proxies:
    """The proxies of one client, looked up once for each host: reading the environment costs as much as a file.

    `look_up` is `proxy_for` or a function like it.
    """

    def __init__(self, look_up: Callable[[str, str, int | None], Proxy | None] = proxy_for) -> None:
        self._look_up = look_up
        self._known: dict[tuple[str, str, int | None], Proxy | None] = {}
        self._by_origin: dict[str, Proxy | None] = {}

    def of(self, url: str) -> Proxy | None:
        """Return the proxy for this URL; raises `Blocked` for an unusable one."""
        end = url.find("/", len("https://"))
        origin = url[:end] if end >= 0 else ""  # as it is written; taking a URL apart costs as much as a header
        if origin in self._by_origin:
            return self._by_origin[origin]
        found = self._of(url)
        if origin:
            self._by_origin[origin] = found
        return found

    def _of(self, url: str) -> Proxy | None:
        parts = urlsplit(url)
        asked = (parts.scheme.lower(), (parts.hostname or "").lower(), parts.port)
        if asked not in self._known:
            self._known[asked] = self._look_up(*asked)
        return self._known[asked]


def getproxies() -> dict[str, str]:
    """The proxies by scheme. Where only variables could name one and none does, nothing is imported for it."""
    if sys.platform not in ("darwin", "win32") and not any(n.lower().endswith("_proxy") for n in os.environ):
        return {}
    import urllib.request

    return urllib.request.getproxies()


def _is_exempt(host: str, port: int | None, exempt: str) -> bool:
    """Whether `NO_PROXY` or the system's settings exempt this host.

    Besides the forms that Python's own library knows, `*` among others, `*.example.com`, and networks such as
    10.0.0.0/8 count, as they do for curl and Go.
    """
    import urllib.request

    asked = host if port is None else f"{host}:{port}"
    if urllib.request.proxy_bypass(asked):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for name in (part.strip().lower() for part in exempt.split(",")):
        if name == "*" or name.strip("[]") == host or (name.startswith("*.") and host.endswith(name[1:])):
            return True
        if "/" in name and address is not None:
            try:
                if address in ipaddress.ip_network(name, strict=False):
                    return True
            except ValueError:
                continue
    return False


def _read(text: str, name: str) -> Proxy:
    """The proxy that a setting names. The text itself is never shown: a password may be anywhere in it."""
    variable = f"{name.upper()}_PROXY"
    named = variable if {variable, variable.lower()} & os.environ.keys() else "the system's settings"
    text = text.strip()  # files of variables often end their lines with a blank or a carriage return
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        raise Blocked(f"the proxy in {named} cannot be used: its URL is not readable", hint=_HINT) from None
    if scheme.startswith("socks"):
        raise Blocked(f"the proxy in {named} cannot be used: it is a SOCKS proxy", hint=_HINT)
    if scheme not in PORTS:
        raise Blocked(f"the proxy in {named} cannot be used: its scheme is not http or https", hint=_HINT)
    if not host or port == 0 or not all(char.isprintable() and char not in " \\" for char in host):
        raise Blocked(f"the proxy in {named} cannot be used: it names no host and port", hint=_HINT)
    host = f"[{host}]" if ":" in host else host
    login, at, _ = parts.netloc.rpartition("@")
    headers: tuple[tuple[str, str], ...] = ()
    if at:
        user, _, password = login.partition(":")
        coded = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode("ascii")
        headers = (("Proxy-Authorization", f"Basic {coded}"),)
    return Proxy(f"{scheme}://{host}:{port or PORTS[scheme]}", headers)

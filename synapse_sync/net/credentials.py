"""Tokens: which origin may see which, and how nothing else ever does."""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import SplitResult, quote, unquote, urlsplit

from synapse_sync.errors import NetworkError

_PORTS = {"http": 80, "https": 443}
_MASK = "***"
_NAT64 = ipaddress.IPv6Address("64:ff9b::").packed[:12]
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")
#: Endings of names that mean something in a network of one's own only.
_INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home.arpa")


class Secret:
    """A value that shows itself only to who asks with `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return _MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


def _split(url: str) -> SplitResult:
    """The parts of a URL that every reader would read alike; raises `NetworkError`."""
    if not url.isprintable() or "\\" in url or " " in url:
        raise NetworkError("a URL with characters that do not belong there")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.scheme.lower() not in _PORTS:
        raise NetworkError(f"not an https URL: {display_url(url)}")
    return parts


def _origin(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    return f"{scheme}://{host}:{parts.port or _PORTS[scheme]}"


def origin_of(url: str) -> str:
    """The origin of a URL as `https://host:port`, in lower case and with the port; raises `NetworkError`."""
    return _origin(_split(url))


def display_url(url: str) -> str:
    """A URL as it may be shown: without user, query and fragment, where signatures and tokens live."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(an unreadable URL)"
    host = parts.netloc.rpartition("@")[2]
    shown = f"{parts.scheme}://{host}{parts.path}" if parts.scheme and host else parts.path
    if parts.scheme and not host and parts.scheme not in ("http", "https", "file"):
        shown = f"{parts.scheme}:{parts.path}"
    return "".join(char if char.isprintable() else "?" for char in shown)


def is_loopback(host: str) -> bool:
    """Whether this host name can only mean the machine we run on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_inside(host: str) -> bool:
    """Whether this host, as it is written, can only be this machine or one of its own network.

    All spellings count that some resolver takes for an address. What a name leads to is not asked: behind many
    proxies and VPNs every name leads to an address inside.
    """
    host = unicodedata.normalize("NFKC", unquote(host)).lower().rstrip(".").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f.1, 017700000001 …
        except (OSError, ValueError):
            return "." not in host or any(host.endswith(f".{ending}") for ending in _INSIDE)
    inner = _within(address) if isinstance(address, ipaddress.IPv6Address) else ()
    return any(not one.is_global or one.is_multicast for one in inner or (address,))


def _within(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address stands for: mapped, 6to4, Teredo, NAT64 or ISATAP."""
    found = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    if address.packed[:12] == _NAT64 or address.packed[8:12] in _ISATAP:
        found = (*found, ipaddress.IPv4Address(address.packed[-4:]))
    return tuple(inner for inner in found if inner is not None)


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to send one secret to one exact origin, below one path."""

    origin: str
    secret: Secret
    path_prefix: str = "/"


class Credentials:
    """All tokens we have, and the only code that decides where they go."""

    def __init__(self, grants: Iterable[Grant] = (), *, allow_http: Iterable[str] = ()) -> None:
        self._grants = tuple((origin_of(grant.origin), grant) for grant in grants if grant.secret)
        self._allow_http = frozenset(host.lower() for host in allow_http)

    def headers_for(self, url: str, via: Sequence[str] = ()) -> dict[str, str]:
        """The headers that carry the token for this very URL; none if none belongs to its origin and path.

        `via` are the URLs that redirected here: one that may not see that token has no say in where it is sent.
        """
        grant = self._grant_for(url)
        if grant is None or any(self._secret_for(before) is not grant.secret for before in via):
            return {}
        return {"Authorization": f"Bearer {grant.secret.reveal()}"}

    def has_token(self, url: str) -> bool:
        """Whether a request for this URL would carry a token."""
        return self._grant_for(url) is not None

    def check_url(self, url: str) -> None:
        """Raise `NetworkError` unless the URL may be asked: https, or http to this machine or an allowed host."""
        parts = _split(url)
        if "@" in parts.netloc:
            raise NetworkError(
                f"refusing a URL with a user name or password in it: {display_url(url)}",
                hint="give the token in the settings or the environment; URLs end up in files and logs",
            )
        if parts.scheme.lower() == "http" and not self._http_is_fine(parts):
            raise NetworkError(
                f"refusing plain http: {display_url(url)}",
                hint="use https; or, if you must, name the host under `allow-http` in your config.toml",
            )

    def check_hop(self, current: str, target: str) -> None:
        """Raise `NetworkError` if a redirect leads from outside into our own network."""
        before, after = _split(current), _split(target)
        host = (after.hostname or "").lower()
        if not is_inside(host) or is_inside(before.hostname or "") or host in self._allow_http:
            return
        if any(_origin(after) == origin for origin, _ in self._grants):
            return
        raise NetworkError(
            f"{display_url(current)} redirects to {host}, which is inside your own network; refused",
            hint="if that is meant, name the host under `allow-http` in your config.toml",
        )

    def scrub(self, text: str) -> str:
        """The text with every secret that we know replaced."""
        for _, grant in self._grants:
            value = grant.secret.reveal()
            for form in (value, quote(value, safe="")):
                text = text.replace(form, _MASK)
        return text

    def _http_is_fine(self, parts: SplitResult) -> bool:
        host = (parts.hostname or "").lower()
        return is_loopback(host) or host in self._allow_http

    def _secret_for(self, url: str) -> Secret | None:
        grant = self._grant_for(url)
        return None if grant is None else grant.secret

    def _grant_for(self, url: str) -> Grant | None:
        try:
            parts = _split(url)
        except NetworkError:
            return None
        if "@" in parts.netloc or (parts.scheme.lower() == "http" and not self._http_is_fine(parts)):
            return None
        path = unquote(parts.path or "/")
        # A path that climbs may end outside the prefix, wherever it begins.
        if any(part in {".", ".."} for part in path.split("/")):
            return None
        origin = _origin(parts)
        fits = (g for known, g in self._grants if known == origin and path.startswith(g.path_prefix))
        return max(fits, key=lambda grant: len(grant.path_prefix), default=None)

"""Host names as they are written: which ones can only mean this machine, or one of its own network."""

from __future__ import annotations

import functools
import ipaddress
import socket
import unicodedata
from urllib.parse import unquote

_NAT64 = ipaddress.IPv6Address("64:ff9b::").packed[:12]
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")
#: Endings of names that mean something inside a private network only.
_INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home.arpa")


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether this host name (lower case, without a port) can only mean the machine that synapse runs on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_inside(host: str) -> bool:
    """Whether this host, as it is written, can only be this machine or one of its own network.

    Each spelling counts that some resolver accepts as an address. Names are not resolved: behind many proxies and
    VPNs, every name resolves to an address inside.
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
    """The IPv4 addresses inside an IPv6 address: mapped, 6to4, Teredo, NAT64 (RFC 6052) or ISATAP (RFC 5214)."""
    found = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    if address.packed[:12] == _NAT64 or address.packed[8:12] in _ISATAP:
        found = (*found, ipaddress.IPv4Address(address.packed[-4:]))
    return tuple(inner for inner in found if inner is not None)

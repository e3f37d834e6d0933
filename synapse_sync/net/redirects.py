"""Redirects, followed by hand: one hop at a time, so that each is judged before it is taken."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from synapse_sync.errors import NetworkError
from synapse_sync.net.credentials import display_url, origin_of

MAX_HOPS = 10
STATUSES = frozenset({301, 302, 303, 307, 308})


def next_hop(current: str, location: str | None) -> str:
    """Where a redirect leads: relative locations are resolved; downgrades to http and other schemes refused.

    Raises `NetworkError`. Whether plain http may be asked at all is for `Credentials.check_url`.
    """
    shown = display_url(current)
    if not location or not location.strip():
        raise NetworkError(f"{shown} redirects to nowhere")
    try:
        target = urljoin(current, location.strip().replace(" ", "%20"))
        scheme = urlsplit(target).scheme.lower()
    except ValueError:
        raise NetworkError(f"{shown} redirects to an unreadable URL") from None
    if scheme not in {"http", "https"}:
        raise NetworkError(f"{shown} redirects to `{scheme}:`, which is refused")
    if scheme == "http" and urlsplit(current).scheme.lower() == "https":
        raise NetworkError(f"{shown} redirects from https to http, which is refused")
    origin_of(target)  # refuses what different readers would read differently
    return target

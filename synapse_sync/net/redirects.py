"""Redirects, followed by hand: one hop at a time, so that each is judged before it is requested."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from synapse_sync.errors import NetworkError
from synapse_sync.net.cookies import Cookies
from synapse_sync.net.credentials import Credentials, display_url, origin_of

MAX_HOPS = 10
STATUSES = frozenset({301, 302, 303, 307, 308})


class EndlessRedirects(NetworkError):
    """A chain of redirects that does not end."""


class Chain:
    """The requests that lead to one answer, for both clients.

    `current` is the URL of the latest request, `via` are those that redirected before. Each request has the token
    of its own origin or none, and the cookies that its origin set.
    """

    def __init__(self, url: str, credentials: Credentials) -> None:
        self.current = url
        self.via: list[str] = []
        self._url = url
        self._credentials = credentials
        self._cookies = Cookies()

    def next_headers(self) -> dict[str, str]:
        """Return the headers of the next request, which is for `current`.

        Raises `NetworkError` for a chain that does not end, and for a URL that may not be requested.
        """
        if len(self.via) > MAX_HOPS:
            raise redirects_for_ever(self._url)
        self.current = self._credentials.destination(self.current)
        return self._cookies.headers_for(self.current) | self._credentials.headers_for(self.current, self.via)

    def follow(self, location: str | None, cookies: Sequence[str]) -> None:
        """Go where a redirect leads: `location` and `cookies` are its `Location` and `Set-Cookie` headers.

        Raises `NetworkError` as `next_hop` does, and where this client may not go there from here.
        """
        self._cookies.keep(self.current, cookies)
        target = next_hop(self.current, location)
        self._credentials.check_hop(self.current, target)
        self.via.append(self.current)
        self.current = target


def next_hop(current: str, location: str | None) -> str:
    """Return the URL to which a redirect leads.

    `current` is the URL that redirected, `location` the value of its `Location` header, which may be relative.
    Raises `NetworkError` for a missing or unreadable location, and for one that leads from https to http or to
    another scheme. `Credentials.check_url` decides whether plain http may be requested at all.
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
    origin_of(target)  # refuses a URL that two libraries might read in two ways
    return target


def redirects_for_ever(url: str) -> EndlessRedirects:
    """Return the error for a chain of redirects that does not end; its cookies were returned to their hosts."""
    return EndlessRedirects(
        f"{display_url(url)} redirects more than {MAX_HOPS} times, cookies included",
        hint="open it in a browser; if it wants a login or a click, download the file there and use its path",
    )

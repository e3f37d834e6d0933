"""Cookies of one chain of redirects.

Some hosts redirect a client again and again until it returns the cookie that they set.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.message import Message
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from synapse_sync.net.addresses import is_loopback
from synapse_sync.net.credentials import origin_of

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

#: Cookies and characters of one that are kept at most: more belongs to nothing that redirects a download.
_MOST, _LONGEST = 50, 4096


class Cookies:
    """The cookies that hosts set on the way to one answer. They are forgotten with the chain.

    Each origin has its own: a cookie goes back to the scheme, host and port that set it and nowhere else, whatever
    its `Domain` says. Path, Secure and Max-Age count as in a browser (RFC 6265, section 5.4).
    """

    def __init__(self) -> None:
        self._jars: dict[str, CookieJar] = {}
        self._kept = 0

    def keep(self, url: str, values: Sequence[str]) -> None:
        """Keep what an answer of this URL sets: the values of its `Set-Cookie` headers."""
        message = Message()
        for value in values:
            if len(value) <= _LONGEST and value.isprintable() and self._kept < _MOST:
                message["Set-Cookie"] = value
                self._kept += 1
        if not message:
            return
        # Late: few redirects set a cookie, and to import these two costs as much as a small file.
        from http.cookiejar import CookieJar
        from urllib.request import Request

        jar = self._jars.setdefault(origin_of(url), CookieJar())
        jar.extract_cookies(_Answer(message), Request(_as_seen(url)))  # type: ignore[arg-type]

    def headers_for(self, url: str) -> dict[str, str]:
        """The header that returns the cookies of this origin; none if it set none."""
        jar = self._jars.get(origin_of(url)) if self._jars else None
        if jar is None:
            return {}
        from urllib.request import Request

        request = Request(_as_seen(url))
        jar.add_cookie_header(request)
        value = request.get_header("Cookie")
        return {"Cookie": value} if value else {}


def _as_seen(url: str) -> str:
    """The URL for the rule about `Secure`: plain http to this machine counts as secure, as it does for browsers."""
    parts = urlsplit(url)
    is_local = parts.scheme.lower() == "http" and is_loopback((parts.hostname or "").lower())
    return parts._replace(scheme="https").geturl() if is_local else url


class _Answer:
    """An answer in the form that Python's cookie jar reads."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def info(self) -> Message:
        """The headers."""
        return self._message

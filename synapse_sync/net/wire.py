"""File bytes over https: one open stream for each request, as little copying as Python allows."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from synapse_sync.errors import NetworkError, StatusError, WrongContent
from synapse_sync.net.agent import USER_AGENT, clean
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials, display_url
from synapse_sync.net.failures import NOT_READY, BadRange, proxy_refused, switched_off, unreachable, unsendable
from synapse_sync.net.lane import LaneAnswer
from synapse_sync.net.pools import Pools, library_errors
from synapse_sync.net.redirects import STATUSES, Chain
from synapse_sync.net.retries import asked_wait
from synapse_sync.net.stream import Asked, Stream, announced_length, announced_part, check_whole, content_type
from synapse_sync.net.trust import tls_context

if TYPE_CHECKING:
    import urllib3  # imported when it is needed

    Answer = urllib3.BaseHTTPResponse | LaneAnswer

#: How much of an error page or a redirect's body is read before the connection is given up.
_MAX_ASIDE = 64 * 1024
_PAGE = "a web page"
_DOCUMENTS = {
    "text/html": _PAGE,
    "application/xhtml+xml": _PAGE,
    "application/json": "a JSON document",
    "application/problem+json": "an error document",
}
#: The statuses of servers that do not know HEAD, and of addresses that are signed for a GET.
_NO_HEAD = frozenset({405, 501})
_SIGNED_FOR_GET = frozenset({400, 401, 403})
#: The status of an empty file, of which no byte can be requested.
_EMPTY = 416


class Wire:
    """Opens streams of bytes; follows redirects by hand and sends tokens by exact origin. Safe to use from threads.

    `connections` are kept open for each host at most. `tls` returns the certificates when they are needed, `clock`
    the seconds since 1970. A request is tried once: only the caller knows which part is still missing afterwards.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        offline: bool = False,
        user_agent: str = USER_AGENT,
        bounds: Bounds | None = None,
        connections: int = 16,
        tls: Callable[[], ssl.SSLContext] = tls_context,
        clock: Callable[[], float] = time.time,
        pools: Pools | None = None,
    ) -> None:
        self.credentials = credentials
        self.offline = offline
        #: Requests that were really sent, each hop counted.
        self.request_count: int = 0
        self._user_agent = user_agent
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._pools = pools or Pools(connections=connections, bounds=self._bounds, tls=tls)
        self._lock = threading.Lock()

    def open(
        self,
        url: str,
        *,
        start: int = 0,
        end: int | None = None,
        if_range: str | None = None,
        expect_text: bool = False,
        verified: bool = False,
        more: Callable[[float, float | None], int] | None = None,
    ) -> Stream:
        """Request a file, or its bytes from `start` to before `end`, and return the stream of its body.

        `if_range` is a validator: where it no longer holds, the server sends the whole file. `expect_text` accepts
        a JSON or HTML document as the file. With `verified`, headers that speak against the body are only
        `Stream.doubt`: the caller verifies the bytes, and many servers label files wrongly. A server that ignores
        the range answers with `Stream.start` 0, which the caller has to handle. `more` returns how many connections
        the target of a redirect will be asked over, which are opened at once. It gets the seconds that the redirect
        took, and those of a round trip to its host. Raises `StatusError`, `WrongContent`, `BadRange`, `Offline` or
        another `NetworkError`.
        """
        if self.offline:
            raise switched_off(display_url(url))
        asked = Asked(start, end)
        chain = Chain(url, self.credentials)
        response, waited = self._arrive(chain, asked, if_range, more=more)
        try:
            stream = self._judge(response, chain.current, asked, expect_text, verified)
        except BaseException:
            response.close()
            raise
        stream.waited, stream.round_trip = waited, self._pools.round_trip(chain.current)
        return stream

    def size(self, url: str) -> int | None:
        """Ask for the size of a file in bytes with one HEAD, after redirects; None if the server does not say it.

        The first byte is requested where a HEAD is not answered: many addresses are signed for a GET alone.
        Raises `StatusError`, `WrongContent` for a web page of unknown size, `Offline` or another `NetworkError`.
        """
        if self.offline:
            raise switched_off(display_url(url))
        chain = Chain(url, self.credentials)
        response, _ = self._arrive(chain, Asked(0, None), method="HEAD")
        try:
            length = None if _encoding(response) else announced_length(response)
            unasked = response.status in _NO_HEAD or (chain.via and response.status in _SIGNED_FOR_GET)
            if response.status >= 400 and not unasked:
                raise self._status_error(response, display_url(chain.current))
            _read_aside(response)  # an answer to HEAD has no body
        finally:
            response.close()
        # Some servers say 0 to every HEAD.
        return length if response.status == 200 and length else self._size_by_first_byte(url)

    def check(self, url: str) -> None:
        """Ask with one HEAD whether a server would send this file; redirects are not followed.

        Raises `StatusError` if the server refuses, with the reason in its headers; `Offline` or another
        `NetworkError`.
        """
        if self.offline:
            raise switched_off(display_url(url))
        current = self.credentials.destination(url)
        own = self.credentials.headers_for(current, [])
        response, _ = self._send(current, Asked(0, None), None, own, method="HEAD")
        try:
            if self._lets_in(response, current, own):
                own = self.credentials.headers_for(current, [])
                response, _ = self._send(current, Asked(0, None), None, own, method="HEAD")
            if response.status >= 400:
                raise self._status_error(response, display_url(current))
            _read_aside(response)  # an answer to HEAD has no body: the next gate is asked over the same connection
        finally:
            response.close()

    def close(self) -> None:
        """Close the idle connections; a later request opens new ones."""
        self._pools.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _size_by_first_byte(self, url: str) -> int | None:
        """Request the first byte of a file; the answer has its size. Raises like `size`."""
        try:
            stream = self.open(url, end=1, verified=True)
        except StatusError as error:
            if error.status == _EMPTY:
                return 0
            raise
        with stream:
            stream.drain()
            if stream.total is None and stream.doubt is not None and _DOCUMENTS.get(stream.content_type) == _PAGE:
                raise stream.doubt
            # Where the label alone is wrong, the length is that of the file.
            return stream.total if stream.doubt is None or stream.doubt.url else None

    def _arrive(
        self,
        chain: Chain,
        asked: Asked,
        if_range: str | None = None,
        *,
        method: str = "GET",
        more: Callable[[float, float | None], int] | None = None,
    ) -> tuple[Answer, float]:
        """Follow redirects to an answer that is none; returns it, and the seconds until its headers were there."""
        challenged = False
        while True:
            own = chain.next_headers()
            response, waited = self._send(chain.current, asked, if_range, own, method)
            try:
                if not challenged and self._lets_in(response, chain.current, own):
                    challenged = True
                    continue
                if response.status not in STATUSES:
                    return response, waited
                location, cookies = response.headers.get("Location"), response.headers.getlist("Set-Cookie")
                _read_aside(response)
                chain.follow(location, cookies)
                before, target = urlsplit(chain.via[-1]), urlsplit(chain.current)
                if target.path.rstrip("/").endswith("/login"):
                    raise _wants_login(display_url(chain.via[-1]))
                if more is not None and target.netloc != before.netloc:
                    count = more(waited, self._pools.round_trip(chain.via[-1]))
                    self._pools.expect(self.credentials.destination(chain.current), count)
            except BaseException:
                response.close()
                raise

    def _send(
        self, url: str, asked: Asked, if_range: str | None, own: Mapping[str, str], method: str = "GET"
    ) -> tuple[Answer, float]:
        """Send one request; return its answer, and the seconds until its headers were there."""
        headers = {"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        if asked.is_part:
            headers["Range"] = asked.header
            if if_range is not None:
                headers["If-Range"] = if_range
        self._pools.prepare(url)
        with self._lock:
            self.request_count += 1
        began = time.monotonic()  # after the certificates were read, which takes as long as some round trips
        try:
            response = self._pools.send(method, url, headers | dict(own))
            return response, time.monotonic() - began
        except library_errors() as error:
            raise unreachable(error, display_url(url), self._pools.proxies.of(url)) from None
        except ValueError:
            raise unsendable(display_url(url)) from None

    def _lets_in(self, response: Answer, url: str, own: Mapping[str, str]) -> bool:
        """Whether this answer is a 401 after which the request should be sent once more, with a new token.

        The answer is read then. `own` are the headers with the token of the request.
        """
        said = response.headers.get("WWW-Authenticate")
        if response.status != 401 or not self.credentials.answers(url, said, own.get("Authorization")):
            return False
        _read_aside(response)
        return True

    def _judge(self, response: Answer, url: str, asked: Asked, expect_text: bool, verified: bool) -> Stream:
        """Turn an answer that is no redirect into a stream, or refuse it."""
        shown = display_url(url)
        if response.status == 407:
            raise proxy_refused(407, shown)
        if response.status >= 400 or response.status == NOT_READY:
            raise self._status_error(response, shown)
        if response.status not in (200, 206):
            raise NetworkError(f"{shown} answered {response.status} instead of the file")
        doubt = _doubt(response, shown, expect_text)
        if doubt is not None and not verified:
            doubt.body = _read_aside(response).decode("utf-8", "replace") if doubt.url else ""
            raise doubt
        length, silence = announced_length(response), self._bounds.silence
        if response.status == 206:
            start, total, size = announced_part(response, shown, asked)
            if length is not None and length != size:
                raise BadRange(f"{shown} announces {length} bytes for a range of {size}")
            return Stream(response, url=url, start=start, total=total, length=size, silence=silence, doubt=doubt)
        try:
            check_whole(response, shown, length)
        except BadRange as error:
            if not verified or asked.is_part:
                raise
            doubt = doubt or WrongContent(error.message, hint=error.hint)
        return Stream(response, url=url, start=0, total=length, length=length, silence=silence, doubt=doubt)

    def _status_error(self, response: Answer, shown: str) -> StatusError:
        retry_after = asked_wait(response.headers, self._clock())
        encoded = bool(_encoding(response))
        aside = _read_aside(response)
        body = "" if encoded else clean(self.credentials.scrub(aside.decode("utf-8", "replace")))
        if not body:  # as in an answer to a HEAD
            words = (response.headers.get(name, "") for name in ("X-Error-Code", "X-Error-Message"))
            body = clean(self.credentials.scrub(" ".join(words).strip()))
        hint = None if retry_after is None else f"the server asks to wait {retry_after:.0f} s"
        return StatusError(
            f"{shown} answered {response.status}" + (f": {clean(body, 200)}" if body else ""),
            status=response.status,
            url=shown,
            body=body,
            retry_after=retry_after,
            hint=hint,
        )


def _doubt(response: Answer, shown: str, expect_text: bool) -> WrongContent | None:
    """Return the error that an answer's headers call for, as if its body were not the file."""
    if encoding := _encoding(response):
        return WrongContent(
            f"{shown} answered with an encoded body ({clean(encoding, 40)}), which was not requested",
            hint="a proxy may be changing what passes through it; if the server's label is wrong, pin `sha256`",
        )
    kind = content_type(response)
    if kind in _DOCUMENTS and not expect_text:
        return WrongContent(
            f"{shown} answered with {_DOCUMENTS[kind]} instead of the file",
            hint="the site probably wants a token, or the address is no direct download link",
            url=shown,
        )
    return None


def _encoding(response: Answer) -> str:
    """The encoding of a body, empty for the bytes themselves."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


def _wants_login(shown: str) -> StatusError:
    """Return the error for a redirect to a login page, by which sites say 401 to a browser."""
    return StatusError(f"{shown} redirects to a login page", status=401, url=shown)


def _read_aside(response: Answer) -> bytes:
    """The beginning of a body that is not the file; the connection is kept if that was all of it."""
    body = b""
    try:
        while len(body) < _MAX_ASIDE and (chunk := response.read(_MAX_ASIDE - len(body), decode_content=False)):
            body += chunk
    except library_errors(ValueError):
        response.close()
        return body
    if len(body) >= _MAX_ASIDE:
        response.close()
    else:
        response.release_conn()
    return body

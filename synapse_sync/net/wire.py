"""Bytes over https: one open stream a request, as little copying as Python allows, every hop judged."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

from synapse_sync.errors import NetworkError, Offline, StatusError, WrongContent
from synapse_sync.net.addresses import is_loopback
from synapse_sync.net.api import USER_AGENT, clean
from synapse_sync.net.clock import TimedResponse
from synapse_sync.net.credentials import Credentials, display_url
from synapse_sync.net.proxies import getproxies, proxy_bypass
from synapse_sync.net.redirects import MAX_HOPS, STATUSES, next_hop
from synapse_sync.net.retries import parse_retry_after
from synapse_sync.net.trust import hopeless, proxy_refused, tls_context

if TYPE_CHECKING:
    import urllib3  # imported when the first byte is needed

#: How much of an error page or a redirect's body is read before the connection is given up.
_MAX_ASIDE = 64 * 1024
#: Seconds in which a server has to say more, when nothing more is expected.
_SILENCE = 1.0
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z", re.IGNORECASE | re.ASCII)
_DOCUMENTS = {
    "text/html": "a web page",
    "application/xhtml+xml": "a web page",
    "application/json": "a JSON document",
    "application/problem+json": "an error document",
}


class Transient(NetworkError):
    """A failure of the network that may pass by itself."""


class BadRange(NetworkError):
    """A server that answers a request for a part with another part; it should be asked for the whole."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The part of a file that a request is about; `end` is exclusive, None is the file's end."""

    start: int
    end: int | None

    @property
    def is_part(self) -> bool:
        return self.start > 0 or self.end is not None

    @property
    def header(self) -> str:
        return f"bytes={self.start}-{'' if self.end is None else self.end - 1}"


class Stream:
    """The body of one answer, to be read once and closed; a context manager.

    `start` is where in the file the body begins, `total` the size of the whole file if the server tells.
    """

    def __init__(
        self, response: urllib3.BaseHTTPResponse, *, url: str, start: int, total: int | None, length: int | None
    ) -> None:
        self.url = url
        self.status = response.status
        self.start = start
        self.total = total
        self.etag: str | None = response.headers.get("ETag")
        self.last_modified: str | None = response.headers.get("Last-Modified")
        self.content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.accepts_ranges = response.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        #: Where the body ends in the file (exclusive); None if nobody knows.
        self.end: int | None = None if length is None else start + length
        #: Bytes read so far.
        self.received = 0
        self._length = length
        self._response = response
        self._aborted: str | None = None
        self._closed = False
        body = getattr(response, "_fp", None)
        # urllib3's own `readinto` reads into a new object and copies; what lies below it does not.
        self._raw: Any = body if isinstance(body, http.client.HTTPResponse) else response

    @property
    def position(self) -> int:
        """Where in the file the next byte belongs."""
        return self.start + self.received

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer as far as bytes come; 0 at the end. Raises `NetworkError` when that comes too early."""
        left = None if self._length is None else self._length - self.received
        if left == 0 or not len(buffer):
            return 0
        if left is not None and left < len(buffer):
            buffer = buffer[:left]
        count = self._read(buffer)
        self.received += count
        if count == 0 and left is not None:
            self._fail(f"the connection ended early, after {self.received} of {self._length} bytes")
        if count == 0 or count == left:
            self._release()
        return count

    def ends(self) -> bool:
        """Whether nothing more comes. Where no length was announced, a server that falls silent has said it all."""
        if self._length is not None:
            return self.received == self._length
        if isinstance(self._raw, TimedResponse):
            self._raw.within(_SILENCE)
        try:
            return self.readinto(memoryview(bytearray(1))) == 0
        except Transient as error:
            if isinstance(error.__context__, TimeoutError) and self._aborted is None:
                return True
            raise

    def abort(self, why: str) -> None:
        """Wake a thread that is reading with a `NetworkError` that says why; may be called from any thread."""
        self._aborted = why
        with contextlib.suppress(Exception):  # already over, or not connected any more: just as well
            self._response.shutdown()

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._response.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self, buffer: memoryview) -> int:
        import urllib3

        if self._aborted is not None:
            self._fail(self._aborted)
        try:
            return int(self._raw.readinto(buffer))
        except (
            OSError,
            ValueError,
            AttributeError,
            http.client.HTTPException,
            urllib3.exceptions.HTTPError,
        ) as error:
            # A response that another thread closes under our hands fails in ways of its own.
            self._fail(_words(error))

    def _fail(self, words: str) -> NoReturn:
        self.close()
        raise Transient(
            f"{display_url(self.url)}: {self._aborted or words}", hint="check the connection and try again"
        ) from None

    def _release(self) -> None:
        """The body is complete: let the next request have the connection."""
        original = getattr(self._response, "_original_response", None)
        if not self._closed and original is not None and original.isclosed():
            self._closed = True
            self._response.release_conn()


class Wire:
    """Opens streams of bytes: redirects by hand, tokens by exact origin; safe to use from threads.

    It tries once; whoever knows what was received already knows best how to try again.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        offline: bool = False,
        user_agent: str = USER_AGENT,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        connections: int = 16,
        tls: Callable[[], ssl.SSLContext] = tls_context,
    ) -> None:
        self.credentials = credentials
        self.offline = offline
        #: Requests that were really sent, each hop counted.
        self.request_count = 0
        self._user_agent = user_agent
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._connections = connections
        self._tls = tls
        self._managers: dict[str, urllib3.PoolManager] = {}
        self._proxies: dict[tuple[str, str], str | None] = {}
        self._lock = threading.Lock()

    def open(
        self,
        url: str,
        *,
        start: int = 0,
        end: int | None = None,
        if_range: str | None = None,
        expect_text: bool = False,
    ) -> Stream:
        """Ask for a file, or for its bytes from `start` to before `end`.

        A server that ignores the range answers with `Stream.start` 0; whether that helps is for the caller to say.
        Raises `StatusError`, `WrongContent`, `BadRange`, `Offline` or another `NetworkError`.
        """
        if self.offline:
            raise Offline(f"{display_url(url)} is needed, but the network is not to be used", hint="drop --offline")
        asked = _Asked(start, end)
        current = url
        via: list[str] = []
        for _ in range(MAX_HOPS + 1):
            current = self.credentials.destination(current)
            response = self._send(current, asked, if_range, via)
            try:
                if response.status not in STATUSES:
                    return self._judge(response, current, asked, expect_text)
                location = response.headers.get("Location")
                _read_aside(response)
                target = next_hop(current, location)
                self.credentials.check_hop(current, target)
                if urlsplit(target).path.rstrip("/").endswith("/login"):
                    raise _wants_login(display_url(current))
                via.append(current)
                current = target
            except BaseException:
                response.close()
                raise
        raise NetworkError(f"{display_url(url)} redirects more than {MAX_HOPS} times")

    def close(self) -> None:
        """Close the idle connections; a later request opens new ones."""
        with self._lock:
            managers, self._managers = self._managers, {}
        for manager in managers.values():
            manager.clear()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _send(self, url: str, asked: _Asked, if_range: str | None, via: Sequence[str]) -> urllib3.BaseHTTPResponse:
        import urllib3

        headers = {"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        if asked.is_part:
            headers["Range"] = asked.header
            if if_range is not None:
                headers["If-Range"] = if_range
        manager = self._manager(url)
        with self._lock:
            self.request_count += 1
        try:
            return manager.urlopen(
                "GET",
                url,
                headers=headers | self.credentials.headers_for(url, via),
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            raise self._unreachable(error, display_url(url)) from None
        except ValueError:
            # The text of such an error may quote a header, and so a token.
            raise NetworkError(f"{display_url(url)}: the request cannot be sent as it is") from None

    def _unreachable(self, error: Exception, shown: str) -> NetworkError:
        if (final := hopeless(error, shown)) is not None:
            return final
        words = clean(self.credentials.scrub(_words(error)), 200)
        return Transient(f"{shown}: {words}", hint="check the connection and try again")

    def _judge(self, response: urllib3.BaseHTTPResponse, url: str, asked: _Asked, expect_text: bool) -> Stream:
        """Turn an answer that is no redirect into a stream, or refuse it."""
        shown = display_url(url)
        if response.status == 407:
            raise proxy_refused(407, shown)
        if response.status >= 400:
            raise self._status_error(response, shown)
        if response.status not in (200, 206):
            raise NetworkError(f"{shown} answered {response.status} instead of the file")
        self._refuse_documents(response, shown, expect_text)
        length = _length(response)
        if response.status == 206:
            start, total, size = _part(response, shown, asked)
            if length is not None and length != size:
                raise BadRange(f"{shown} announces {length} bytes for a range of {size}")
            return Stream(response, url=url, start=start, total=total, length=size)
        return Stream(response, url=url, start=0, total=length, length=length)

    def _refuse_documents(self, response: urllib3.BaseHTTPResponse, shown: str, expect_text: bool) -> None:
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise WrongContent(
                f"{shown} answered with an encoded body ({clean(encoding, 40)}), which nobody asked for",
                hint="a proxy may be changing what passes through it",
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _DOCUMENTS and not expect_text:
            raise WrongContent(
                f"{shown} answered with {_DOCUMENTS[kind]} instead of the file",
                hint="the site probably wants a token, or the address is no direct download link",
                url=shown,
                body=_read_aside(response).decode("utf-8", "replace"),
            )

    def _status_error(self, response: urllib3.BaseHTTPResponse, shown: str) -> StatusError:
        retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time())
        encoded = response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")
        aside = _read_aside(response)
        body = "" if encoded else clean(self.credentials.scrub(aside.decode("utf-8", "replace")))
        hint = None if retry_after is None else f"the server asks to wait {retry_after:.0f} s"
        return StatusError(
            f"{shown} answered {response.status}" + (f": {clean(body, 200)}" if body else ""),
            status=response.status,
            url=shown,
            body=body,
            retry_after=retry_after,
            hint=hint,
        )

    def _manager(self, url: str) -> urllib3.PoolManager:
        """The connection pools for this URL: direct, or through the proxy that the environment names."""
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
        if (scheme, host) not in self._proxies:
            self._proxies[scheme, host] = _proxy_for(scheme, host)
        proxy = self._proxies[scheme, host]
        key = proxy or scheme
        with self._lock:
            manager = self._managers.get(key)
            if manager is None:
                manager = self._managers[key] = self._connect(proxy, encrypted=proxy is not None or key != "http")
            return manager

    def _connect(self, proxy: str | None, *, encrypted: bool) -> urllib3.PoolManager:
        import urllib3

        options: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": self._connections,
            "retries": False,
            "timeout": urllib3.Timeout(connect=self._connect_timeout, read=self._read_timeout),
        }
        if encrypted:  # reading all certificates takes a while
            options["ssl_context"] = self._tls()
        if proxy is None:
            return _timed(urllib3.PoolManager(**options))
        try:
            parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
            bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            login = parts.netloc.rpartition("@")[0]
            headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
            return _timed(
                urllib3.ProxyManager(
                    bare, proxy_headers=headers, proxy_ssl_context=options["ssl_context"], **options
                )
            )
        except (ValueError, urllib3.exceptions.HTTPError):
            raise NetworkError(
                "the proxy in the environment cannot be used",
                hint="http:// and https:// proxies work; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY",
            ) from None


def _timed(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """The same, but the headers of each answer have to come in time as a whole."""
    from urllib3 import connection, connectionpool

    class Plain(connection.HTTPConnection):
        response_class = TimedResponse

    class Secure(connection.HTTPSConnection):
        response_class = TimedResponse

    class PlainPool(connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(connectionpool.HTTPSConnectionPool):
        ConnectionCls = Secure

    manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return manager


def strong_validator(etag: str | None, last_modified: str | None) -> str | None:
    """What to send as `If-Range`: a strong ETag, else the date, else nothing."""
    if etag and not etag.startswith("W/"):
        return etag
    return last_modified or None


def _wants_login(shown: str) -> StatusError:
    """A redirect to a login page is how sites that take us for a browser say 401."""
    return StatusError(f"{shown} redirects to a login page", status=401, url=shown)


def _proxy_for(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for a host; to read the environment takes as long as a small file."""
    if is_loopback(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(host) else proxy


def _length(response: urllib3.BaseHTTPResponse) -> int | None:
    """The announced length of the body; none if it comes in chunks."""
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        return None
    text = response.headers.get("Content-Length", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _part(response: urllib3.BaseHTTPResponse, shown: str, asked: _Asked) -> tuple[int, int | None, int]:
    """Start, total and length of the part that came; raises `BadRange` unless it is the one asked for."""
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", "").strip())
    if match is None or not asked.is_part:
        raise BadRange(f"{shown} answered with a part of the file, and does not say which")
    start, stop = int(match[1]), int(match[2]) + 1
    total = None if match[3] == "*" else int(match[3])
    wanted = total if asked.end is None else asked.end if total is None else min(asked.end, total)
    if start != asked.start or stop <= start or (wanted is not None and stop != wanted):
        raise BadRange(f"{shown} answered with another part of the file than was asked for")
    return start, total, stop - start


def _read_aside(response: urllib3.BaseHTTPResponse) -> bytes:
    """The beginning of a body that is not the file; the connection is kept if that was all of it."""
    import urllib3

    body = b""
    try:
        while len(body) < _MAX_ASIDE and (chunk := response.read(_MAX_ASIDE - len(body), decode_content=False)):
            body += chunk
    except (OSError, ValueError, http.client.HTTPException, urllib3.exceptions.HTTPError):
        response.close()
        return body
    if len(body) >= _MAX_ASIDE:
        response.close()
    else:
        response.release_conn()
    return body


def _words(error: BaseException) -> str:
    """What went wrong, without the URL and headers that libraries put into their messages."""
    from urllib3 import exceptions as lib

    chain: list[BaseException] = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    for link in chain:
        if isinstance(link, (lib.NameResolutionError, socket.gaierror)):
            return "the host name cannot be found"
        # In urllib3 2 every failed connection calls itself a time-out as well.
        if isinstance(link, lib.ConnectTimeoutError) and not isinstance(link, lib.NewConnectionError):
            return "no connection in time"
        if isinstance(link, (lib.ReadTimeoutError, TimeoutError)):
            return "no answer in time"
    for link in chain:
        if isinstance(link, lib.ProxyError):
            return "the proxy cannot be used"
        if isinstance(link, ssl.SSLError):
            return f"the encrypted connection failed ({link.reason or 'TLS'})"
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    for link in chain:
        if isinstance(link, http.client.IncompleteRead):
            return "the connection ended early"
        if isinstance(link, (http.client.RemoteDisconnected, lib.ProtocolError)):
            return "the connection was closed without an answer"
    return f"the connection failed ({type(error).__name__})"

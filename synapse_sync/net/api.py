"""JSON over https: one polite client for the sites' APIs."""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from synapse_sync.errors import NetworkError, Offline, StatusError
from synapse_sync.net.agent import USER_AGENT, clean
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials, display_url
from synapse_sync.net.failures import Transient
from synapse_sync.net.redirects import MAX_HOPS, STATUSES, next_hop
from synapse_sync.net.retries import WORTH_TELLING, Retry, asked_wait, may_pass
from synapse_sync.net.trust import hopeless, proxy_refused, secure_proxies, tls_context

if TYPE_CHECKING:
    import httpx  # takes a tenth of a second: imported when the first request is made

_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back at the end of the redirects."""

    url: str
    status: int
    body: bytes
    content_type: str
    retry_after: float | None


class Api:
    """Asks JSON APIs: redirects by hand, tokens by exact origin, patient retries; safe to use from threads.

    `on_wait` is told why and how long a request waits for its next attempt. `clock` (seconds since 1970), `sleep`
    and `jitter` (0 to 1) are there to be replaced in tests.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        offline: bool = False,
        retry: Retry | None = None,
        bounds: Bounds | None = None,
        user_agent: str = USER_AGENT,
        connections: int = 4,
        tls: Callable[[], ssl.SSLContext] = tls_context,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self.credentials = credentials
        self.offline = offline
        #: Requests that were really sent, each hop and each attempt counted.
        self.request_count = 0
        self._retry = retry or Retry()
        self._bounds = bounds or Bounds()
        self._user_agent = user_agent
        self._connections = connections
        self._tls = tls
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._on_wait = on_wait
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def get_json(self, url: str, params: Sequence[tuple[str, str]] = ()) -> Any:
        """The JSON that a GET answers; raises `StatusError`, `NetworkError` or `Offline`."""
        if params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"
        return self._json("GET", url, None)

    def post_json(self, url: str, body: Any) -> Any:
        """The JSON that a POST of JSON answers; raises like `get_json`. Only for look-ups: it may be repeated."""
        return self._json("POST", url, json.dumps(body).encode())

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _json(self, method: str, url: str, body: bytes | None) -> Any:
        if self.offline:
            raise Offline(f"{display_url(url)} is needed, but the network is not to be used", hint="drop --offline")
        answer = self._patiently(method, url, body)
        try:
            # Sites let control characters pass into their strings; that is not worth a failure.
            return json.loads(answer.body.decode("utf-8-sig", "replace"), strict=False)
        except (ValueError, RecursionError):
            what = "a web page" if "html" in answer.content_type else "something that is not JSON"
            raise NetworkError(
                f"{display_url(answer.url)} answered with {what}",
                hint="a login page, a captive portal or a proxy may be in the way; try again later",
            ) from None

    def _patiently(self, method: str, url: str, body: bytes | None) -> _Answer:
        attempt = 0
        while True:
            attempt += 1
            wait: float | None
            error: NetworkError
            try:
                answer = self._follow(method, url, body)
            except Transient as transient:
                error, wait = transient, self._retry.delay(attempt, None, self._jitter())
            else:
                if 200 <= answer.status < 300:
                    return answer
                if answer.status == 407:
                    raise proxy_refused(407, display_url(answer.url))
                status_error = self._status_error(answer)
                error, wait = status_error, self._pause(attempt, status_error)
            if wait is None:
                raise error
            if self._on_wait is not None and wait >= WORTH_TELLING:
                self._on_wait(f"{error.message}; trying again in {wait:.0f} s")
            self._sleep(wait)

    def _pause(self, attempt: int, error: StatusError) -> float | None:
        if not may_pass(error.status, error.body, error.retry_after):
            return None
        return self._retry.delay(attempt, error.retry_after, self._jitter())

    def _status_error(self, answer: _Answer) -> StatusError:
        shown = display_url(answer.url)
        body = clean(self.credentials.scrub(answer.body[:65536].decode("utf-8", "replace")))
        hint = None
        if answer.retry_after is not None:
            hint = f"the server asks to wait {answer.retry_after:.0f} s"
        return StatusError(
            f"{shown} answered {answer.status}" + (f": {clean(body, 200)}" if body else ""),
            status=answer.status,
            url=shown,
            body=body,
            retry_after=answer.retry_after,
            hint=hint,
        )

    def _follow(self, method: str, url: str, body: bytes | None) -> _Answer:
        """One attempt: ask, and take each redirect as a new request with the token of its own origin or none."""
        current = url
        via: list[str] = []
        for _ in range(MAX_HOPS + 1):
            current = self.credentials.destination(current)
            answer, location = self._send(method, current, body, via)
            if answer.status not in STATUSES:
                return answer
            via.append(current)
            current = next_hop(current, location)
            self.credentials.check_hop(via[-1], current)
            if answer.status in {301, 302, 303}:
                method, body = "GET", None
        raise NetworkError(f"{display_url(url)} redirects more than {MAX_HOPS} times")

    def _send(self, method: str, url: str, body: bytes | None, via: Sequence[str]) -> tuple[_Answer, str | None]:
        import httpx

        client = self._connect()
        headers = self.credentials.headers_for(url, via)
        if body is not None:
            headers["Content-Type"] = "application/json"
        shown = display_url(url)
        with self._lock:
            self.request_count += 1
        try:
            with client.stream(method, url, content=body, headers=headers) as response:
                return self._read(response, url), response.headers.get("location")
        except httpx.TransportError as error:
            raise self._transport_error(error, shown) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise NetworkError(f"{shown}: {clean(self.credentials.scrub(str(error)), 200)}") from None

    def _read(self, response: httpx.Response, url: str) -> _Answer:
        received = bytearray()
        until = time.monotonic() + self._bounds.answer
        if response.status_code not in STATUSES:
            for chunk in response.iter_bytes():
                received += chunk
                if len(received) > self._bounds.body:
                    raise NetworkError(f"{display_url(url)} answered with more than {self._bounds.body} bytes")
                if time.monotonic() > until:
                    raise NetworkError(
                        f"{display_url(url)}: the answer did not end in time", hint="try again later"
                    )
        return _Answer(
            url=url,
            status=response.status_code,
            body=bytes(received),
            content_type=response.headers.get("content-type", "").lower(),
            retry_after=asked_wait(response.headers, self._clock()),
        )

    def _transport_error(self, error: httpx.TransportError, shown: str) -> Exception:
        import httpx

        if (final := hopeless(error, shown)) is not None:
            return final
        words = clean(self.credentials.scrub(str(error)), 200) or type(error).__name__
        if isinstance(error, httpx.TimeoutException):
            words = "no answer in time"
        return Transient(f"{shown}: {words}", hint="check the connection and try again")

    def _connect(self) -> httpx.Client:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        with self._lock:
            if self._client is None:
                context = self._tls()
                try:
                    self._client = httpx.Client(
                        headers={"User-Agent": self._user_agent, "Accept": "application/json"},
                        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                        follow_redirects=False,
                        # For proxies and certificates only: this httpx never reads a .netrc unless told to.
                        trust_env=True,
                        verify=context,
                        mounts={**secure_proxies(httpx, context), **dict.fromkeys(_LOOPBACK)},
                        timeout=httpx.Timeout(self._bounds.read, connect=self._bounds.connect),
                        limits=httpx.Limits(max_connections=self._connections),
                    )
                except (ImportError, ValueError, httpx.InvalidURL):
                    raise NetworkError(
                        "the proxy in the environment cannot be used",
                        hint="check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY",
                    ) from None
            return self._client

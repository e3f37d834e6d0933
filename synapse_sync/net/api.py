"""JSON over https: one polite client for the sites' APIs."""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from synapse_sync.errors import NetworkError, StatusError
from synapse_sync.net.agent import USER_AGENT, clean
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials, display_url
from synapse_sync.net.failures import NOT_READY, proxy_refused, switched_off, unreachable, unsendable
from synapse_sync.net.redirects import STATUSES, Chain
from synapse_sync.net.retries import WORTH_TELLING, Retry, asked_wait
from synapse_sync.net.transports import Transports, http_library
from synapse_sync.net.trust import tls_context

#: The body of a request: its bytes, or a function that returns its pieces anew for each attempt. Such a request
#: needs a `content-length`, unless it is sent in chunks.
Body = bytes | Callable[[], Iterable[bytes]]
#: How often one request is sent once more because of a 401 that a token may answer.
_MOST_CHALLENGES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer at the end of the redirects: its body is decoded, `headers` have names in lower case.

    `retry_after` is the wait in seconds that it asks for.
    """

    url: str
    status: int
    body: bytes
    headers: Mapping[str, str]
    retry_after: float | None = None


class Api:
    """A client for JSON APIs: redirects by hand, tokens by exact origin, patient retries; safe to use from threads.

    `library` is httpx or a module like it; without it, httpx is imported with the first request. `tls` returns the
    certificates, for the first encrypted request; `tls_early` says for the first of any kind. `on_wait` reports
    why and how long a request waits for its next attempt. `clock` returns seconds since 1970, `jitter` a number
    between 0 and 1.
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
        tls_early: bool = False,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        on_wait: Callable[[str], None] | None = None,
        library: Any = None,
    ) -> None:
        self.credentials = credentials
        self.offline = offline
        #: Requests that were really sent, each hop and each attempt counted.
        self.request_count: int = 0
        self._retry = retry or Retry()
        self._bounds = bounds or Bounds()
        self._user_agent = user_agent
        self._connections = connections
        self._tls, self._tls_early = tls, tls_early
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._on_wait = on_wait
        self._library = library
        self._transports: Transports | None = None
        self._lock = threading.Lock()
        self._endings: list[Callable[[], None]] = []

    def get_json(self, url: str, params: Sequence[tuple[str, str]] = ()) -> Any:
        """Return the JSON that a GET answers; raises `StatusError`, `NetworkError` or `Offline`."""
        if params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"
        return self._json("GET", url, None)

    def post_json(self, url: str, body: Any) -> Any:
        """Return the JSON that a POST of JSON answers; only for look-ups, which may be repeated. Raises alike."""
        return self._json("POST", url, json.dumps(body).encode())

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        redirects: bool = True,
    ) -> Answer:
        """Return the answer to one request, whatever its status, without trying again.

        Redirects are followed, except those of a HEAD, and without `redirects`. A 401 is answered if the
        credentials can. Raises `Offline`, or `NetworkError` where no answer comes.
        """
        if self.offline:
            raise switched_off(display_url(url))
        redirects = redirects and method != "HEAD"
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        answer = self._follow(method, url, lower, body, redirects)
        if answer.status == 407:
            raise proxy_refused(407, display_url(answer.url))
        return answer

    def close(self) -> None:
        """Close the connections, and call what waits for the end; a later request opens new ones."""
        self.drop_connections()
        with self._lock:
            endings, self._endings = self._endings, []
        for ending in endings:
            ending()

    def drop_connections(self) -> None:
        """Close the connections; a later request opens new ones."""
        with self._lock:
            transports, self._transports = self._transports, None
        if transports is not None:
            transports.close()

    def at_close(self, ending: Callable[[], None]) -> None:
        """Call `ending` once, when this client is closed."""
        with self._lock:
            self._endings.append(ending)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _json(self, method: str, url: str, body: bytes | None) -> Any:
        answer = self._patiently(method, url, body)
        try:
            # Sites let control characters pass into their strings; that is not worth a failure.
            return json.loads(answer.body.decode("utf-8-sig", "replace"), strict=False)
        except (ValueError, RecursionError):
            is_page = "html" in answer.headers.get("content-type", "").lower()
            what = "a web page" if is_page else "something that is not JSON"
            raise NetworkError(
                f"{display_url(answer.url)} answered with {what}",
                hint="a login page, a captive portal or a proxy may be in the way; try again later",
            ) from None

    def _patiently(self, method: str, url: str, body: bytes | None) -> Answer:
        """Ask until the answer is a success, or until no further attempt makes sense."""
        headers = {} if body is None else {"content-type": "application/json"}
        attempt = 0
        while True:
            attempt += 1
            error: NetworkError
            try:
                answer = self.exchange(method, url, headers=headers, body=body)
                if 200 <= answer.status < 300 and not is_unready(answer):
                    return answer
                error = self.status_error(answer)
            except NetworkError as failure:
                error = failure
            wait = self._retry.after(attempt, error, self._jitter())
            if wait is None:
                raise error
            if self._on_wait is not None and wait >= WORTH_TELLING:
                self._on_wait(f"{error.message}; trying again in {wait:.0f} s")
            self._sleep(wait)

    def status_error(self, answer: Answer) -> StatusError:
        """Return the error for an answer that is no success, with the beginning of its text made harmless."""
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

    def _follow(self, method: str, url: str, headers: dict[str, str], body: Body | None, redirects: bool) -> Answer:
        """One attempt: ask, and follow each redirect as a new request with the token of its own origin or none."""
        chain = Chain(url, self.credentials)
        challenges = 0
        while True:
            own = chain.next_headers()
            answer, location, baked = self._send(method, chain.current, headers | own, body)
            if answer.status == 401 and challenges < _MOST_CHALLENGES:
                challenges += 1
                said = answer.headers.get("www-authenticate")
                if self.credentials.answers(chain.current, said, own.get("Authorization")):
                    continue
            if answer.status not in STATUSES or not redirects:
                return answer
            chain.follow(location, baked)
            if answer.status in {301, 302, 303} and method != "GET":
                method, body = "GET", None
                headers.pop("content-type", None)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None
    ) -> tuple[Answer, str | None, list[str]]:
        """The answer to one request, where it redirects to, and the cookies that it sets."""
        transports = self._connect()
        usual = {"user-agent": self._user_agent, "accept": "application/json"}
        with self._lock:
            self.request_count += 1
        try:
            content = body() if callable(body) else body
            with transports.send(method, url, usual | dict(headers), content) as response:
                location = response.headers.get("location")
                return self._read(response, url), location, response.headers.get_list("set-cookie")
        except (self._library.HTTPError, self._library.InvalidURL, self._library.StreamError) as error:
            raise unreachable(error, display_url(url), transports.proxies.of(url)) from None
        except (ValueError, TypeError):
            raise unsendable(display_url(url)) from None

    def _read(self, response: Any, url: str) -> Answer:
        received = bytearray()
        if response.status_code not in STATUSES:
            for chunk in response.iter_bytes():
                received += chunk
                if len(received) > self._bounds.body:
                    raise NetworkError(f"{display_url(url)} answered with more than {self._bounds.body} bytes")
        return Answer(
            url=url,
            status=response.status_code,
            body=bytes(received),
            headers=_joined(response.headers.multi_items()),
            retry_after=asked_wait(response.headers, self._clock()),
        )

    def _connect(self) -> Transports:
        with self._lock:
            if self._library is None:
                self._library = http_library()
            if self._transports is None:
                if self._tls_early:
                    self._tls()
                self._transports = Transports(
                    self._library, tls=self._tls, bounds=self._bounds, connections=self._connections
                )
            return self._transports


def _joined(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The headers by name, several of one name as one (RFC 9110, section 5.3).

    Hazard: httpx looks through all headers for each one, so a hostile answer with 10,000 of them cost seconds.
    """
    values: dict[str, list[str]] = {}
    for name, value in items:
        values.setdefault(name, []).append(value)
    return {name: ", ".join(found) for name, found in values.items()}


def is_unready(answer: Answer) -> bool:
    """Whether a success is none yet: a 202 without an answer, or one that says when to come back."""
    return answer.status == NOT_READY and (answer.retry_after is not None or not answer.body)

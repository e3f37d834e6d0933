"""Failures of the network: the words for them, and the one rule which of them may pass.

All HTTP clients report their libraries' exceptions by `unreachable`. Each loop that repeats a request asks
`may_pass`.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from urllib.parse import urlsplit

from synapse_sync.errors import Blocked, NetworkError, Offline, StatusError
from synapse_sync.net.answers import HeadTooLong
from synapse_sync.net.proxies import Proxy

#: The server accepted the request, and the answer is not ready yet.
NOT_READY = 202
#: Statuses after which the same request may succeed; every other status is an answer. 425 says that the connection
#: was too young (RFC 8470).
RETRYABLE = frozenset({NOT_READY, 408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
#: The texts of a 429 that no waiting ends: for a page that does not exist, and for a limit of the day.
_FINAL = ("too many pages", "unusual amount of downloading")
#: The status of a proxy that opens no tunnel: `407 …` in the text of httpx's error, or that of http.client.
_TUNNEL = re.compile(r"(?:^|Tunnel connection failed: )([1-5]\d\d)\b")
CONNECTION_HINT = "check the connection and try again"
_CA_HINT = (
    "if a company proxy or your own server signs with its own CA, name that CA's certificate: "
    '`ca-bundle = "/path/to/ca.pem"` in config.toml, or SSL_CERT_FILE'
)
_DATED = re.compile("expired|not yet valid")
_CLOCK_HINT = "check the clock of this machine; if it is right, the server needs a new certificate"
_LOGIN_HINT = "put them into the variable that names it: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
#: The libraries' names of what goes wrong before a connection is made.
_CONNECTING = frozenset(
    {"ConnectError", "ConnectTimeout", "NewConnectionError", "ConnectTimeoutError", "ProxyError"}
)


class Transient(NetworkError):
    """A failure of the network that another attempt may not meet."""


class Unreachable(Transient):
    """No connection to a host could be made: nothing was asked yet."""


class BadRange(NetworkError):
    """A server that answers a request for a part with another part; it should be asked for the whole file."""


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: after a transient failure, or a status that says so."""
    if not isinstance(error, StatusError):
        return isinstance(error, Transient)
    if error.status == 429 and error.retry_after is None and any(words in error.body for words in _FINAL):
        return False
    return error.status in RETRYABLE


def may_change(error: BaseException) -> bool:
    """Whether the same request may succeed in a later run: nothing final is known about its address."""
    return may_pass(error) or isinstance(error, Blocked | Offline)


def unreachable(error: BaseException, shown: str, proxy: Proxy | None = None) -> NetworkError:
    """Return the error for a request that failed without an answer: a `Transient` if it may pass.

    `error` is an exception of httpx, of urllib3, of http.client or of a socket. `shown` is the URL as it may be
    shown, `proxy` the one through which the request went. The libraries' own messages are not used: they contain
    URLs with signatures, headers with tokens, and the proxy's password.
    """
    chain = _chain(error)
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return Blocked(
                f"{shown}: the server's certificate cannot be trusted ({link.verify_message})",
                hint=_CLOCK_HINT if _DATED.search(link.verify_message) else _CA_HINT,
            )
        if (status := _tunnel_status(link)) is not None and 400 <= status < 500:
            return proxy_refused(status, shown)
        if isinstance(link, HeadTooLong):
            return _too_long(shown, str(link))
        # The limit of h11, which httpx uses: 100 KiB.
        if _is(link, {"RemoteProtocolError"}) and "buffer too long" in str(link):
            return _too_long(shown, "headers of more than 100 KiB")
        if _is(link, {"ReadTimeout"}) and "did not end in time" in str(link):
            return NetworkError(f"{shown}: the answer did not end in time", hint="try again later")
        if _is(link, {"DecodingError"}):
            return NetworkError(f"{shown}: the body of the answer cannot be decoded", hint="try again later")
        if _is(link, {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"}):
            return unsendable(shown)
    words = describe(error)
    unconnected = any(_is(link, _CONNECTING) or isinstance(link, socket.gaierror) for link in chain)
    if proxy is not None and unconnected and not _is_tls(chain):
        return Unreachable(
            f"{shown}: the proxy {proxy.url} cannot be used: {words}",
            hint="check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or name the host in NO_PROXY",
        )
    if unconnected and not _is_tls(chain):  # one sentence for all that is asked of this host
        return Unreachable(f"{urlsplit(shown).netloc or shown} cannot be reached: {words}", hint=CONNECTION_HINT)
    return Transient(f"{shown}: {words}", hint=CONNECTION_HINT)


def switched_off(what: str) -> Offline:
    """Return the error for a request that is not sent because the user prevents it; `what` was needed."""
    return Offline(
        f"{what} is needed, but the network is switched off",
        hint="run it again without `--offline`, and without `offline = true` in your config.toml",
    )


def unsendable(shown: str) -> NetworkError:
    """Return the error for a request that the libraries refuse to send; `shown` is its URL as it may be shown.

    Hazard: the text of such an exception may quote a header, and so a token.
    """
    return NetworkError(
        f"{shown}: the request cannot be sent as it is",
        hint="check the address, and that the token for its host is one line of letters, digits and signs",
    )


def proxy_refused(status: int, shown: str) -> Blocked:
    """Return the error for a proxy that answers with this status in place of the server."""
    if status == 407:
        return Blocked(f"{shown}: the proxy wants a user name and a password (407)", hint=_LOGIN_HINT)
    return Blocked(
        f"{shown}: the proxy refuses to connect ({status})",
        hint="ask its administrator to allow this host, or name the host in NO_PROXY",
    )


def describe(error: BaseException) -> str:
    """Say in a few words why a request failed, without any text of a library or a server."""
    chain = _chain(error)
    for link in chain:
        if (status := _tunnel_status(link)) is not None:
            return f"it answered {status}"
        if isinstance(link, socket.gaierror) or _is(link, {"NameResolutionError"}):
            return "the host name cannot be found"
        if _is(link, {"ConnectTimeout", "ConnectTimeoutError"}):
            return "no connection in time"
        if isinstance(link, TimeoutError) or _is(link, {"ReadTimeout", "WriteTimeout", "ReadTimeoutError"}):
            return "no answer in time"
    for link in chain:
        if isinstance(link, ssl.SSLError):
            return f"the encrypted connection failed ({getattr(link, 'reason', None) or 'TLS'})"
        if isinstance(link, ConnectionRefusedError):
            return "Connection refused"  # Windows says it in the language of the user, and Wine not at all
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    for link in chain:
        text = str(link)
        if isinstance(link, http.client.IncompleteRead) or "peer closed connection" in text:
            return "the connection ended early"
        if isinstance(link, http.client.RemoteDisconnected) or "disconnected without" in text:
            return "the connection was closed without an answer"
        if isinstance(link, http.client.HTTPException) or _is(link, {"RemoteProtocolError"}):
            return "the answer is not HTTP"
    if any(_is(link, {"ProtocolError"}) for link in chain):
        return "the connection was closed without an answer"
    return f"the connection failed ({type(error).__name__})"


def _too_long(shown: str, words: str) -> NetworkError:
    return NetworkError(
        f"{shown} answered with {words}", hint="no download needs that: ask its administrator, or use a mirror"
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and its causes; urllib3 passes some of them as arguments instead."""
    chain = [error]
    while True:
        link = chain[-1]
        inner = link.__cause__ or link.__context__ or next((a for a in link.args if isinstance(a, Exception)), None)
        if inner is None or inner in chain:
            return chain
        chain.append(inner)


def _tunnel_status(error: BaseException) -> int | None:
    """The status with which a proxy refuses to open a tunnel."""
    if not isinstance(error, OSError) and not _is(error, {"ProxyError"}):
        return None
    said = _TUNNEL.search(str(error))
    return None if said is None else int(said[1])


def _is(error: BaseException, names: frozenset[str] | set[str]) -> bool:
    """Whether this is an exception of an HTTP library with one of these names; no library is imported for it."""
    return type(error).__name__ in names


def _is_tls(chain: list[BaseException]) -> bool:
    return any(isinstance(link, ssl.SSLError) for link in chain)

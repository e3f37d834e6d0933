"""Failures: one rule says which may pass, and the words hold nothing of a library's own text."""

from __future__ import annotations

import http.client
import socket
import ssl

import pytest

from synapse_sync.errors import NetworkError, NotFound, StatusError
from synapse_sync.net.answers import HeadTooLong
from synapse_sync.net.failures import RETRYABLE, BadRange, Transient, may_pass, unreachable
from synapse_sync.net.proxies import Proxy
from synapse_sync.net.retries import Retry

SHOWN = "https://hub.example/f"
REFUSED = ConnectionRefusedError(111, "Connection refused")
PROXY = Proxy("http://proxy.example:3128", (("Proxy-Authorization", "Basic c2VjcmV0"),))


def test_answers_are_not_retried():
    assert not RETRYABLE & {200, 204, 301, 400, 401, 403, 404, 410, 416, 451, 501}
    assert {429, 503} <= RETRYABLE


def status(number, *, retry_after=None, body=""):
    return StatusError("no", status=number, url=SHOWN, body=body, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (Transient("the network"), True),
        (NetworkError("not HTTP"), False),
        (BadRange("another part"), False),
        (NotFound("gone"), False),
        (status(503), True),
        (status(429), True),
        (status(404), False),
        (status(202), True),
        (status(425), True),
        (status(202, retry_after=5.0), True),
        (status(429, body="unusual amount of downloading"), False),
        (status(429, body="unusual amount of downloading", retry_after=5.0), True),
    ],
)
def test_one_rule_says_what_may_pass(error, passes):
    assert may_pass(error) is passes
    assert (Retry().after(1, error, 0.5) is not None) is passes


def named(name, text, cause=None):
    """An exception of a library, as far as its name and its text matter."""
    error = type(name, (Exception,), {})(text)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words", "passes"),
    [
        (named("ConnectError", "x", REFUSED), "Connection refused", True),
        (named("ConnectTimeout", "timed out"), "no connection in time", True),
        (named("NewConnectionError", "x", socket.gaierror(-2, "unknown")), "the host name cannot be found", True),
        (named("ReadTimeout", "timed out"), "no answer in time", True),
        (named("ReadTimeout", "the answer did not end in time"), "the answer did not end in time", False),
        (named("ProtocolError", "x", http.client.RemoteDisconnected("x")), "closed without an answer", True),
        (named("RemoteProtocolError", "Server disconnected without x"), "closed without an answer", True),
        (named("RemoteProtocolError", "peer closed connection without x"), "the connection ended early", True),
        (named("RemoteProtocolError", "illegal status line: b'secret'"), "the answer is not HTTP", True),
        (named("ProtocolError", "x", http.client.BadStatusLine("secret")), "the answer is not HTTP", True),
        (named("ProtocolError", "x", HeadTooLong("headers of more than 1024 KiB")), "headers of more than", False),
        (named("RemoteProtocolError", "Receive buffer too long"), "headers of more than 100 KiB", False),
        (named("LocalProtocolError", "Illegal header value b'secret'"), "cannot be sent as it is", False),
        (named("InvalidURL", "secret"), "cannot be sent as it is", False),
        (named("DecodingError", "secret"), "cannot be decoded", False),
        (named("ProxyError", "407 secret"), "wants a user name and a password (407)", False),
        (
            named("ProxyError", "x", OSError("Tunnel connection failed: 403 secret")),
            "refuses to connect (403)",
            False,
        ),
        (ssl.SSLError(1, "[SSL: secret] x"), "the encrypted connection failed", True),
        (named("Whatever", "secret"), "the connection failed (Whatever)", True),
    ],
)
@pytest.mark.parametrize("proxy", [None, PROXY])
def test_words_of_our_own(error, words, passes, proxy):
    said = unreachable(error, SHOWN, proxy)
    assert words in said.message
    assert SHOWN in said.message or said.message.startswith("hub.example cannot be reached: ")
    assert may_pass(said) is passes and said.hint
    assert "secret" not in f"{said.message} {said.hint}" and "Basic" not in f"{said.message} {said.hint}"


@pytest.mark.parametrize(
    "error",
    [
        named("ConnectError", "x", ConnectionRefusedError(111, "Connection refused")),
        named(
            "ProxyError", "x", named("NewConnectionError", "x", ConnectionRefusedError(111, "Connection refused"))
        ),
    ],
    ids=["httpx", "urllib3"],
)
def test_a_connection_that_fails_through_a_proxy_is_the_proxy_s(error):
    said = unreachable(error, SHOWN, PROXY)
    assert said.message == f"{SHOWN}: the proxy {PROXY.url} cannot be used: Connection refused"
    assert "NO_PROXY" in (said.hint or "")
    assert unreachable(error, SHOWN).message == "hub.example cannot be reached: Connection refused"


def test_a_loop_of_causes_ends():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert isinstance(unreachable(first, SHOWN), NetworkError)

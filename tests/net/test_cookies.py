"""Cookies: back to the origin that set them, for one chain of redirects."""

from __future__ import annotations

import pytest

from synapse_sync.net.cookies import Cookies

HERE = "https://hub.example/a/f"


def returned(set_cookie: str, url: str = HERE, *, by: str = HERE) -> str | None:
    cookies = Cookies()
    cookies.keep(by, [set_cookie])
    return cookies.headers_for(url).get("Cookie")


@pytest.mark.parametrize(
    ("set_cookie", "expected"),
    [
        ("pass=1", "pass=1"),
        ("pass=1; Path=/; HttpOnly; SameSite=None; Secure; Partitioned", "pass=1"),
        ("pass=a=b; Path=/a", "pass=a=b"),
        ("pass=1; Domain=hub.example", "pass=1"),
        ("pass=1; Path=/b", None),
        ("pass=1; Max-Age=0", None),
        ("pass=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("pass=1; Domain=other.example", None),
        ("pass=\x1b[2J", None),
        ("pass=1\r\nX-Injected: 1", None),
        (f"pass={'x' * 5000}", None),
    ],
)
def test_what_comes_back(set_cookie: str, expected: str | None) -> None:
    assert returned(set_cookie) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.hub.example/a/f",
        "https://example/a/f",
        "https://hub.example:8443/a/f",
        "http://hub.example/a/f",
        "https://hub.example.evil.example/a/f",
    ],
)
@pytest.mark.parametrize("domain", ["", "; Domain=hub.example", "; Domain=.example"])
def test_no_other_origin_sees_it(url: str, domain: str) -> None:
    assert returned(f"pass=1; Path=/{domain}", url) is None


def test_a_later_answer_replaces_and_removes() -> None:
    cookies = Cookies()
    cookies.keep(HERE, ["pass=1; Path=/", "other=2; Path=/"])
    cookies.keep(HERE, ["pass=3; Path=/", "other=; Path=/; Max-Age=0"])
    assert cookies.headers_for(HERE) == {"Cookie": "pass=3"}


def test_this_machine_counts_as_secure_and_no_other_without_tls() -> None:
    for local in ("http://127.0.0.1:8080/f", "http://localhost/f"):
        assert returned("pass=1; Secure", local, by=local) == "pass=1"
    assert returned("pass=1; Secure", "http://hub.example/f", by="http://hub.example/f") is None


def test_their_number_is_bounded() -> None:
    cookies = Cookies()
    cookies.keep(HERE, [f"c{number}=1" for number in range(1000)])
    assert cookies.headers_for(HERE)["Cookie"].count("=") == 50

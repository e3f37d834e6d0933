from __future__ import annotations

import copy
import pickle

import pytest

from synapse_sync.errors import NetworkError
from synapse_sync.net.credentials import Credentials, Grant, Secret, display_url, is_loopback, origin_of

TOKEN = "s3cr3t-t0ken"


def vault(origin: str = "https://hub.example", path: str = "/") -> Credentials:
    return Credentials([Grant(origin, Secret(TOKEN), path)])


def test_secret_shows_itself_to_nobody():
    secret = Secret(TOKEN)
    assert TOKEN not in f"{secret} {secret!r} {[secret]} {secret:>40}"
    assert secret.reveal() == TOKEN
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)
    assert not Secret("")


def test_exact_origin_gets_the_token():
    for url in ("https://hub.example/f", "https://HUB.example:443/f?x=1", "HTTPS://hub.example"):
        assert vault().headers_for(url) == {"Authorization": f"Bearer {TOKEN}"}
        assert vault().has_token(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.hub.example/f",
        "https://hub.example.evil.example/f",
        "https://hub.example:444/f",
        "http://hub.example/f",
        "http://hub.example:443/f",
        "https://hub.example@evil.example/f",
        "https://evil.example/https://hub.example/",
        "https://evil.example\\@hub.example/f",
        "https://user@hub.example/f",
        "ftp://hub.example/f",
        "https://[broken/f",
        "not a url",
    ],
)
def test_everybody_else_gets_nothing(url):
    assert vault().headers_for(url) == {}


def test_path_prefix_bounds_the_grant():
    narrow = vault(path="/api/")
    assert narrow.has_token("https://hub.example/api/v1")
    for path in ("/apix", "/", "/api/../upload", "/api/%2e%2e/upload", "/api/./x"):
        assert not narrow.has_token(f"https://hub.example{path}")


def test_longest_prefix_wins():
    both = Credentials(
        [Grant("https://hub.example", Secret("wide")), Grant("https://hub.example", Secret("narrow"), "/api/")]
    )
    assert both.headers_for("https://hub.example/api/x") == {"Authorization": "Bearer narrow"}
    assert both.headers_for("https://hub.example/x") == {"Authorization": "Bearer wide"}


def test_empty_secret_is_no_grant():
    assert Credentials([Grant("https://hub.example", Secret(""))]).headers_for("https://hub.example/") == {}


def test_plain_http_only_for_loopback_and_allowed_hosts():
    credentials = Credentials(allow_http=["Nas.Example"])
    for url in (
        "https://x.example/",
        "http://127.0.0.1:8/",
        "http://localhost/",
        "http://[::1]/",
        "http://nas.example/",
    ):
        credentials.check_url(url)
    for url in ("http://x.example/", "http://localhost.example/", "http://127.0.0.1.example/"):
        with pytest.raises(NetworkError, match="plain http"):
            credentials.check_url(url)


@pytest.mark.parametrize(
    "url", ["https://u:p@hub.example/", "https://a b/", "https://a\n/", "file:///f", "https:///f"]
)
def test_urls_that_are_never_asked(url):
    with pytest.raises(NetworkError) as caught:
        vault().check_url(url)
    assert "u:p" not in str(caught.value)


def test_scrub_replaces_plain_and_quoted_forms():
    odd = Credentials([Grant("https://hub.example", Secret("a/b c"))])
    assert odd.scrub("x a/b c y a%2Fb%20c z") == "x *** y *** z"


def test_display_url_keeps_neither_query_nor_user_nor_fragment():
    assert display_url("https://u:p@h.example:8/a/b?sig=1#x") == "https://h.example:8/a/b"
    assert display_url("https://h.example/\x1b[31m") == "https://h.example/?[31m"
    assert display_url("https://[x") == "(an unreadable URL)"


def test_origins_are_normal():
    assert origin_of("HTTPS://Hub.Example/x") == "https://hub.example:443"
    assert origin_of("http://[::1]:80/") == "http://[::1]:80"
    with pytest.raises(NetworkError):
        origin_of("https://hub.example:99999/")


def test_loopback_names():
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.9.9.9", "::1"]))
    assert not any(map(is_loopback, ["", "0.0.0.0", "localhost.example", "10.0.0.1"]))

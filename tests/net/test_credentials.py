from __future__ import annotations

import copy
import pickle

import pytest

from synapse_sync.errors import NetworkError
from synapse_sync.net.addresses import is_loopback
from synapse_sync.net.credentials import Credentials, Grant, Secret, display_url, origin_of

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


INSIDE = [
    "localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "0177.0.0.1",
    "0x7f.0.0.1", "127%2e0%2e0%2e1", "１２７.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%25eth0",
    "fc00::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1",
    "2606:4700::5efe:127.0.0.1", "ff02::1", "router", "metadata.google.internal", "nas.local", "pi.home.arpa",
]  # fmt: skip
OUTSIDE = [
    "civitai.com", "1.1.1.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8",
    "localhost.example", "127.0.0.1.example", "local.example", "1.1", "10.example",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_a_redirect_from_outside_does_not_lead_into_our_network(host: str) -> None:
    url = f"https://[{host}]/x" if ":" in host else f"https://{host}/x"
    with pytest.raises(NetworkError, match="inside your own network"):
        Credentials().check_hop("https://civitai.com/a?token=hunter2", url)
    Credentials().check_hop("http://127.0.0.1:5/", url)
    Credentials().check_hop("http://nas.local/", url)
    if ":" not in host:
        Credentials(allow_http=[host]).check_hop("https://civitai.com/a", url)


@pytest.mark.parametrize("host", OUTSIDE)
def test_a_redirect_to_the_outside_is_fine(host: str) -> None:
    url = f"https://[{host}]/x" if ":" in host else f"https://{host}/x"
    Credentials().check_hop("https://civitai.com/a", url)


def test_a_mirror_inside_that_has_a_token_may_be_led_to() -> None:
    grants = [Grant("https://nas.local:8443", Secret("x"))]
    Credentials(grants).check_hop("https://civitai.com/a", "https://nas.local:8443/x")
    with pytest.raises(NetworkError):
        Credentials(grants).check_hop("https://civitai.com/a", "https://nas.local/x")

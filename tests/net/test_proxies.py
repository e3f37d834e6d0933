"""Proxies: one function says which is used, and one message says why one cannot be."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import urllib.request

import pytest

from synapse_sync.errors import NetworkError
from synapse_sync.net.proxies import Proxy, getproxies, proxy_for

VARIABLES = ["http_proxy", "HTTPS_PROXY", "All_Proxy", "no_proxy"]


@pytest.mark.parametrize("name", VARIABLES)
def test_it_says_what_the_library_says(name: str) -> None:
    os.environ[name] = "http://proxy.example:3128"
    assert getproxies() == urllib.request.getproxies() != {}


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="the system's settings have to be asked")
@pytest.mark.parametrize("given", [False, True])
def test_the_library_is_loaded_where_a_variable_is_set(given: bool) -> None:
    if given:
        os.environ["https_proxy"] = "http://proxy.example:3128"
    code = "import sys, synapse_sync.net.proxies as p; p.getproxies(); sys.exit('urllib.request' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == given


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("proxy.example:3128", "http://proxy.example:3128"),
        (" http://proxy.example:3128 \r", "http://proxy.example:3128"),
        ("HTTPS://Proxy.example/", "https://proxy.example:443"),
        ("http://[fd00::1]:8080", "http://[fd00::1]:8080"),
    ],
)
def test_a_proxy_is_read_in_all_its_forms(text: str, url: str) -> None:
    os.environ["https_proxy"] = text
    assert proxy_for("https", "hub.example", 443) == Proxy(url)


def test_the_scheme_s_own_variable_comes_before_the_one_for_all() -> None:
    os.environ |= {"all_proxy": "http://all.example:1"}
    os.environ["http_proxy"] = "http://plain.example:2"
    assert proxy_for("http", "hub.example") == Proxy("http://plain.example:2")
    assert proxy_for("https", "hub.example") == Proxy("http://all.example:1")


def test_a_login_goes_into_a_header_and_shows_nowhere() -> None:
    os.environ["https_proxy"] = "http://ad%61:pa%20ss%C3%A9@proxy.example:3128"
    proxy = proxy_for("https", "hub.example")
    assert proxy is not None and proxy.url == "http://proxy.example:3128"
    coded = base64.b64encode("ada:pa ss\u00e9".encode()).decode()
    assert dict(proxy.headers) == {"Proxy-Authorization": f"Basic {coded}"}
    assert coded not in repr(proxy) and "pa" not in repr(proxy).replace("Proxy", "").replace("proxy.example", "")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("http://me:hush@127.0.0.1:notaport", "not readable"),
        ("http://me:hush@127.0.0.1:99999", "not readable"),
        ("http://me:hush@[::1", "not readable"),
        ("http://me:hush@:3128", "no host"),
        ("http://me:hush@127.0.0.1:0", "no host and port"),
        ("socks5h://me:hush@127.0.0.1:9", "SOCKS"),
        ("socks4://me:hush@127.0.0.1:9", "SOCKS"),
        ("ftp://me:hush@127.0.0.1:9", "scheme"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_used(text: str, word: str, variable: str) -> None:
    os.environ[variable] = text
    with pytest.raises(NetworkError, match=word) as caught:
        proxy_for("https", "hub.example")
    shown = f"{caught.value} {caught.value.hint}"
    assert f"the proxy in {variable.upper()} cannot be used" in shown and "hush" not in shown
    assert proxy_for("https", "localhost") is None, "this machine is asked directly, whatever the setting says"


@pytest.mark.parametrize(
    ("exempt", "host", "port"),
    [
        ("hub.example", "hub.example", None),
        ("hub.example", "cdn.hub.example", 443),
        (".hub.example", "cdn.hub.example", 443),
        ("*.hub.example", "cdn.hub.example", 443),
        ("a.example, hub.example", "hub.example", 443),
        ("hub.example:8443", "hub.example", 8443),
        ("*", "hub.example", 443),
        ("a.example,*", "hub.example", 443),
        ("10.0.0.0/8", "10.1.2.3", 443),
        ("fd00::/8", "fd00::1", 443),
        ("fd00::1", "fd00::1", 443),
    ],
)
def test_no_proxy_exempts(exempt: str, host: str, port: int | None) -> None:
    # A proxy that cannot be used is no fault either for a host that needs none.
    os.environ["https_proxy"] = "socks5://127.0.0.1:9"
    os.environ["no_proxy"] = exempt
    assert proxy_for("https", host, port) is None


@pytest.mark.parametrize(
    ("exempt", "host", "port"),
    [
        ("hub.example", "nothub.example", 443),
        ("hub.example:8443", "hub.example", 443),
        ("*.hub.example", "hub.example", 443),
        ("10.0.0.0/8", "11.1.2.3", 443),
        ("10.0.0.0/8", "ten.example", 443),
        ("10.0.0.0/none", "10.1.2.3", 443),
        ("", "hub.example", 443),
    ],
)
def test_no_proxy_exempts_nothing_else(exempt: str, host: str, port: int) -> None:
    os.environ["https_proxy"] = "http://proxy.example:3128"
    os.environ["no_proxy"] = exempt
    assert proxy_for("https", host, port) == Proxy("http://proxy.example:3128")

"""Proxies: what the library says, and nothing is loaded where it would say nothing."""

from __future__ import annotations

import subprocess
import sys
import urllib.request

import pytest

from synapse_sync.net.proxies import getproxies, proxy_bypass

VARIABLES = ["http_proxy", "HTTPS_PROXY", "All_Proxy", "no_proxy"]


@pytest.mark.parametrize("name", VARIABLES)
def test_it_says_what_the_library_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://proxy.example:3128")
    assert getproxies() == urllib.request.getproxies() != {}
    monkeypatch.setenv("no_proxy", "hub.example")
    assert proxy_bypass("hub.example") and not proxy_bypass("other.example")


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="the system's settings have to be asked")
@pytest.mark.parametrize("given", [False, True])
def test_the_library_is_loaded_where_a_variable_is_set(given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if given:
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    code = "import sys, synapse_sync.net.trust as t; t.getproxies(); sys.exit('urllib.request' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == given

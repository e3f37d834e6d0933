from __future__ import annotations

import pytest

from synapse_sync.net.rewrites import Rewrites

TABLE = Rewrites(
    [
        ("Hub.example", "https://mirror.example/hub/"),
        ("files.example:8443", "http://nas"),
        ("[::1]:80", "https://v6"),
    ]
)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://hub.example/a/b?x=1", "https://mirror.example/hub/a/b?x=1"),
        ("https://HUB.EXAMPLE:443/a", "https://mirror.example/hub/a"),
        ("http://hub.example/a", "https://mirror.example/hub/a"),
        ("https://hub.example", "https://mirror.example/hub"),
        ("https://hub.example/a%2Fb/%20", "https://mirror.example/hub/a%2Fb/%20"),
        ("https://files.example:8443/a", "http://nas/a"),
        ("http://[::1]/a", "https://v6/a"),
    ],
)
def test_hosts_that_are_named(url: str, asked: str) -> None:
    assert TABLE.apply(url) == asked


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.hub.example/a",
        "https://hub.example.evil.example/a",
        "https://hub.example:444/a",
        "https://files.example/a",
        "https://evil.example/hub.example",
        "https://hub.example@evil.example/a",
        "https://evil.example\\@hub.example/a",
        "https://[broken/a",
        "ftp://hub.example/a",
    ],
)
def test_all_others_stay(url: str) -> None:
    assert TABLE.apply(url) == url


def test_a_host_may_get_a_path_and_is_rewritten_once() -> None:
    table = Rewrites([("hub.example", "https://hub.example/cache")])
    once = table.apply("https://hub.example/a")
    assert once == "https://hub.example/cache/a"
    assert table.apply(once) == once
    assert table.apply("https://hub.example/cached") == "https://hub.example/cache/cached"

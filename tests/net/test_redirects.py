from __future__ import annotations

import pytest

from synapse_sync.errors import NetworkError
from synapse_sync.net.redirects import next_hop

HERE = "https://hub.example/a/b?token=abc"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/c", "https://hub.example/c"),
        ("c?x=1", "https://hub.example/a/c?x=1"),
        ("//cdn.example/c", "https://cdn.example/c"),
        (" https://cdn.example/with space ", "https://cdn.example/with%20space"),
    ],
)
def test_locations_are_resolved(location, expected):
    assert next_hop(HERE, location) == expected


@pytest.mark.parametrize(
    "location",
    [None, "", "  ", "http://hub.example/c", "file:///etc/x", "data:,x", "https://[x/", "https://a\\b/"],
)
def test_bad_locations_are_refused_without_the_query(location):
    with pytest.raises(NetworkError) as caught:
        next_hop(HERE, location)
    assert "abc" not in str(caught.value)


def test_http_may_lead_to_http_and_up():
    assert next_hop("http://127.0.0.1:8/a", "/b") == "http://127.0.0.1:8/b"
    assert next_hop("http://127.0.0.1:8/a", "https://x.example/") == "https://x.example/"

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.net.challenges import Challenge, read_challenges

BEARER = Challenge(
    "bearer", {"realm": "https://auth.example/token", "service": "a, b", "scope": "repository:x:pull"}
)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull"', [BEARER]),
        ('BEARER Realm = "https://auth.example/token" , service="a, b", scope="repository:x:pull"', [BEARER]),
        ("Basic realm=registry", [Challenge("basic", {"realm": "registry"})]),
        ('Basic realm="a \\"b\\"", Bearer realm="c"', [Challenge("basic", {"realm": 'a "b"'}),
                                                       Challenge("bearer", {"realm": "c"})]),
        ("Negotiate, Basic realm=x", [Challenge("negotiate"), Challenge("basic", {"realm": "x"})]),
        ('realm="nobody asked"', []),
        ('Bearer realm="open', [Challenge("bearer", {})]),
        ("", []),
    ],
)  # fmt: skip
def test_headers(header: str, found: list[Challenge]) -> None:
    assert list(read_challenges(header)) == found


@given(st.text(st.sampled_from('Bearer realm="x\\", =\n'), max_size=200) | st.text())
def test_any_text_is_read(header: str) -> None:
    for challenge in read_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


def test_a_long_header_costs_little() -> None:
    assert len(read_challenges('a="' * 100_000)) < 10_000

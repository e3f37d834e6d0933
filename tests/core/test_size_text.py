"""Sizes: read as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.size_text import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20_000_000_000), ("1.5 mb", 1_500_000), ("1024", 1024), ("2T", 2_000_000_000_000), ("0", 0),
        ("0.5", 1), (" 3 kB ", 3000), ("", None), ("GB", None), ("-1", None), ("1e3", None), ("1 GiB", None),
        ("1.1kB", 1100), ("9" * 400, None),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@given(st.text(max_size=30))
def test_any_text_is_a_size_or_not(text: str) -> None:
    size = parse_size(text)
    assert size is None or size >= 0

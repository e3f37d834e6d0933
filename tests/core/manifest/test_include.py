"""Lines of `include`: paths below the project, and pinned addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.manifest.include import parse_include
from synapse_sync.errors import InputError

PIN = "a" * 64


def test_a_path_is_the_project_s_own() -> None:
    include = parse_include("./lists/shared.toml")
    assert include.path is not None and include.path.text == "lists/shared.toml"
    assert not include.is_foreign and include.shown == "lists/shared.toml"


@pytest.mark.parametrize("place", ["https://example.org/a.toml", "hf://o/r@main/a.toml", "gh:o/r@v1/a.toml"])
def test_a_pinned_address(place: str) -> None:
    include = parse_include(f"{place}@sha256:{PIN.upper()}")
    assert include.is_foreign and include.sha256 == PIN and include.shown == place


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a.toml", "hf://o/r/a.toml", "/etc/a.toml", "../a.toml", "a/../../b.toml", "",
        f"./a.toml@sha256:{PIN}", f"https://e.org/a@sha256:{PIN[1:]}", "C:\\a.toml", "a\0b",
    ],
)  # fmt: skip
def test_what_cannot_be_included(text: str) -> None:
    with pytest.raises(InputError):
        parse_include(text)


@given(st.text(max_size=80))
def test_any_text_is_an_include_or_an_error(text: str) -> None:
    try:
        include = parse_include(text)
    except InputError:
        return
    assert (include.path is None) != (include.reference is None)

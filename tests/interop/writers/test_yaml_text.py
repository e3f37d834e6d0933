"""YAML as the writers write it, judged by a reader of YAML."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.errors import InputError
from synapse_sync.interop.writers.yaml_text import scalar, with_sections

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=40)
_AWKWARD = st.sampled_from(["no", "1e3", "0x1f", "2026-01-01", "a: b", "a #b", "- a", "~", "", "NULL", "a:", "1:2"])
OTHERS = """\
# my paths
a111:
    base_path: /mnt/a1111   # kept
    loras: |
         models/Lora

         models/LyCORIS

# about the next
other: {checkpoints: x}
"""


@given(st.one_of(_TEXT, _AWKWARD))
def test_a_scalar_is_read_as_the_same_text(text: str) -> None:
    assert yaml.safe_load(f"key: {scalar(text)}\n{scalar(text)}: 1\n") == {"key": text, text: 1}


def test_other_sections_and_comments_stay() -> None:
    first = with_sections(OTHERS, {"ours": ["ours:", "  a: 1"]}, "it")
    assert first == f"{OTHERS}\nours:\n  a: 1\n"
    second = with_sections(first, {"ours": ["ours:", "  b: 2", "  c: 3"]}, "it")
    assert second == first.replace("  a: 1\n", "  b: 2\n  c: 3\n")
    moved = with_sections(
        first.replace("# my paths\n", '"ours":\n  old: 1\n\n# my paths\n').rpartition("\nours")[0],
        {"ours": ["ours:", "  new: 1"]},
        "it",
    )
    assert moved == f"ours:\n  new: 1\n\n{OTHERS}"


def test_a_quoted_key_is_the_same_key() -> None:
    assert (
        with_sections("\"a: \\u00e9\": 1\n'b c': 2\n", {"a: é": ["x: 1"], "b c": ["y: 2"]}, "it") == "x: 1\ny: 2\n"
    )


def test_line_ends_of_the_file_stay() -> None:
    text = OTHERS.replace("\n", "\r\n")
    assert with_sections(text, {"b": ["b: 1"]}, "it") == f"{text}\r\nb: 1\r\n"


@pytest.mark.parametrize(
    "text", ["[a]\n", "{a: 1}\n", "- a\n", "a: 1\n---\nb: 2\n", "a: 1\na: 2\n", "&x a: 1\n", "words\n"]
)
def test_what_is_no_mapping_in_block_form_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        with_sections(text, {"b": ["b: 1"]}, "it")


@given(st.text(max_size=200))
def test_any_text_is_completed_or_refused(text: str) -> None:
    try:
        found = with_sections(text, {"ours": ["ours: 1"]}, "it")
    except InputError:
        return
    assert "ours: 1" in found.splitlines()
    assert with_sections(found, {"ours": ["ours: 1"]}, "it") == found

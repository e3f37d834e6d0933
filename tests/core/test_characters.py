"""Names of characters for messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.characters import named_character
from synapse_sync.core.names import SafePath
from synapse_sync.errors import UnsafeName


@pytest.mark.parametrize(
    ("char", "words"),
    [
        ("?", "`?`"),
        (" ", "a space"),
        ("\n", "a line break"),
        ("\ufeff", "a byte order mark (U+FEFF)"),
        ("\u200b", "U+200B (zero width space)"),
        ("\u202e", "U+202E (right-to-left override)"),
        ("\x1b", "the control character U+001B"),
        ("\ud800", "the control character U+D800"),
    ],
)
def test_a_character_is_named(char: str, words: str) -> None:
    assert named_character(char) == words


@given(st.characters())
def test_the_words_can_be_seen(char: str) -> None:
    assert named_character(char).isprintable()


def test_a_byte_that_is_no_text_is_named_as_that_byte() -> None:
    assert named_character("\udcff") == "the byte 0xFF, which is not UTF-8,"
    with pytest.raises(UnsafeName, match="the byte 0xFF, which is not UTF-8, is a character that is not allowed"):
        SafePath("a/bad\udcff.safetensors")

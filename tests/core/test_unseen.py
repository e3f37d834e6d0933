"""Characters that cannot be seen: one table for every Python."""

from __future__ import annotations

import unicodedata

import pytest

from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.names import SafePath, safe_filename
from synapse_sync.core.unseen import _RANGES, all_seen, is_plain_line, is_unseen
from synapse_sync.errors import UnsafeName

_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _later(point: int) -> bool:
    return 0x1F000 <= point <= 0x1FAFF or (0x20000 <= point <= 0x3FFFD and point & 0xFFFE != 0xFFFE)


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="this Python has another version of Unicode")
def test_the_table_is_that_of_unicode_14() -> None:
    ranges: list[list[int]] = []
    for point in range(0x110000):
        category = unicodedata.category(chr(point))
        if category not in _CATEGORIES or (category == "Cn" and _later(point)):
            continue
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    assert _RANGES.split() == [f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in ranges]


@pytest.mark.parametrize("char", ["\0", "\x7f", "\u200b", "\u202e", "\ufeff", "\ud800", "\ue000", "\ufdd0",
                                  "\U0010ffff", "\U00016d68", "\U000e0001", "\u2028"])  # fmt: skip
def test_unseen(char: str) -> None:
    assert is_unseen(char)
    assert not all_seen(f"a{char}")
    assert safe_filename(f"a{char}b.bin") == "ab.bin"
    with pytest.raises(UnsafeName):
        SafePath(f"a{char}b.bin")


@pytest.mark.parametrize("char", ["a", " ", "é", "漢", "🎨", "\U0001fae8", "\U00031350", "\u0301"])
def test_seen_whatever_the_version_of_python_is(char: str) -> None:
    assert not is_unseen(char)
    assert all_seen(f"a{char}")


@pytest.mark.parametrize(
    ("text", "fine"), [("a b", True), ("a\nb", False), ("a\u00a0b", False), ("a\u3000b", False)]
)
def test_a_plain_line_has_common_spaces_only(text: str, fine: bool) -> None:
    assert is_plain_line(text) is fine


def test_an_emoji_newer_than_python_may_be_in_a_name_and_a_pattern() -> None:
    assert SafePath("shaking \U0001fae8.bin").name == "shaking \U0001fae8.bin"
    text = '[models.a]\nsource = "hf://o/n"\ninclude = "*\U0001fae8*"\n'
    assert parse_manifest(text).models[0].include == ("*\U0001fae8*",)

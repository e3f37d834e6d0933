"""The script of `export sh`: its quoting. `tests/black_box/test_export.py` runs whole scripts."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_sync.interop.writers.sh import quoted

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
_AWKWARD = st.sampled_from(
    ["'", "''", "$(id)", "`id`", "\\", "\n", "$HOME", "~", "-n", "*", "a b", "!", "\\'", "'\\''"]
)


@pytest.mark.skipif(shutil.which("sh") is None, reason="no sh here")
@settings(max_examples=40)
@given(st.lists(st.one_of(_TEXT, _AWKWARD), min_size=1, max_size=20))
def test_a_quoted_text_is_one_word_of_the_shell(words: list[str]) -> None:
    script = "printf '%s\\0' " + " ".join(map(quoted, words))
    found = subprocess.run(["sh", "-c", script, "sh"], capture_output=True, check=True, timeout=60).stdout
    assert found.decode("utf-8").split("\0") == [*words, ""]

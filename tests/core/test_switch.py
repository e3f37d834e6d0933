"""Words that mean yes or no."""

from __future__ import annotations

import pytest

from synapse_sync.core.switch import read_switch


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("1", True), ("TRUE", True), (" yes ", True), ("on", True), ("0", False), ("No", False), ("off", False),
     ("", False), ("  ", False), ("maybe", None), ("2", None), ("yes!", None), ("١", None)],
)  # fmt: skip
def test_words(text: str, meaning: bool | None) -> None:
    assert read_switch(text) is meaning

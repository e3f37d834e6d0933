"""The idle time of all cores, where the system says it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from synapse_sync.transfer.idle import idle_seconds


@pytest.mark.skipif(sys.platform != "linux", reason="a file of Linux")
def test_it_is_that_of_the_system_and_never_goes_back() -> None:
    before = idle_seconds()
    time.sleep(0.02)
    after = idle_seconds()
    assert before is not None and after is not None and 0 < before <= after


@pytest.mark.parametrize(
    ("text", "found"), [("40765.92 11056.64\n", 11056.64), ("40765.92\n", None), ("", None), ("a b\n", None)]
)
def test_what_is_no_number_is_unknown(tmp_path: Path, text: str, found: float | None) -> None:
    (tmp_path / "uptime").write_text(text)
    assert idle_seconds(tmp_path / "uptime") == found
    assert idle_seconds(tmp_path / "missing") is None

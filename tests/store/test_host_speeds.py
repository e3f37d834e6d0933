from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.core.host_speed import FORGOTTEN, Speed
from synapse_sync.store.host_speeds import read_speeds, remember_speeds

NOW = 1_800_000_000.0


def test_what_others_measured_meanwhile_is_kept_and_what_is_too_old_goes(tmp_path: Path) -> None:
    a, b = Speed(rate=1e6, at=NOW), Speed(rate=2e6, at=NOW + 5)
    remember_speeds(tmp_path, {"a": a, "old": Speed(rate=1.0, at=NOW - FORGOTTEN)}, NOW)
    remember_speeds(tmp_path, {"b": b}, NOW + 5)
    assert read_speeds(tmp_path) == {"a": a, "b": b}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '{"a": 1}',
        '{"a": [1]}',
        '{"a": ["x", 2]}',
        "\xff",
        '{"a": [NaN, 1]}',
        '{"a": [-1, 1]}',
        '{"a": [1' + "0" * 400 + ", 1]}",
        "[" * 100_000,
    ],
    ids=range(11),
)
def test_a_damaged_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "speeds.json").write_text(text, encoding="latin-1")
    assert read_speeds(tmp_path) == {}
    remember_speeds(tmp_path, {"a": Speed(rate=5.0, at=NOW)}, NOW)
    assert read_speeds(tmp_path) == {"a": Speed(rate=5.0, at=NOW)}


def test_no_place_to_write_is_no_failure(tmp_path: Path) -> None:
    remember_speeds(tmp_path / "gone", {"a": Speed(rate=5.0, at=NOW)}, NOW)
    (tmp_path / "speeds.json").mkdir()
    remember_speeds(tmp_path, {"a": Speed(rate=5.0, at=NOW)}, NOW)
    assert read_speeds(tmp_path) == {}

"""The remembered answers about headers: a hint, bounded, and never a reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.core.weights.identify import Weights
from synapse_sync.store import known_weights
from synapse_sync.store.known_weights import read_known, remember_weights

ONE, TWO = "1" * 64, "2" * 64


def test_answers_are_remembered(tmp_path: Path) -> None:
    assert read_known(tmp_path) == {}
    remember_weights(tmp_path, {ONE: Weights(kind="lora", family="SDXL", precision="fp16")})
    remember_weights(tmp_path, {TWO: Weights()})
    assert read_known(tmp_path) == {ONE: Weights(kind="lora", family="SDXL", precision="fp16"), TWO: Weights()}
    remember_weights(tmp_path / "missing", {ONE: Weights()})
    assert not (tmp_path / "missing").exists()


def test_the_oldest_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_weights, "MOST_FILES", 2)
    for number in range(4):
        remember_weights(tmp_path, {str(number) * 64: Weights(kind="vae")})
    assert list(read_known(tmp_path)) == ["2" * 64, "3" * 64]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"rules": 1}', '{"rules": 1, "files": []}', '{"rules": 1, "files": {"a": 1}}',
             '{"rules": 0, "files": {"a": ["lora", null, null]}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_note_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "weights.json").write_text(text)
    assert read_known(tmp_path) == {}
    remember_weights(tmp_path, {ONE: Weights(kind="vae")})
    assert list(read_known(tmp_path)) == [ONE]

"""Samples of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.store.sample import sample_of


@pytest.mark.parametrize("size", [0, 1, 4096, 65_536, 1_000_000])
def test_another_first_or_last_byte_is_another_sample(tmp_path: Path, size: int) -> None:
    path, data = tmp_path / "x", bytearray(size)
    path.write_bytes(data)
    samples = {sample_of(path)}
    for place in {0, size - 1} if size else ():
        data[place] ^= 1
        path.write_bytes(data)
        samples.add(sample_of(path))
        data[place] ^= 1
    path.write_bytes(bytes(size + 1))
    samples.add(sample_of(path))
    assert len(samples) == 1 + min(size, 2) + 1


def test_every_byte_of_a_small_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(60_000))
    before = sample_of(path)
    for place in range(0, 60_000, 1_777):
        data = bytearray(60_000)
        data[place] = 1
        path.write_bytes(data)
        assert sample_of(path) != before

"""Included manifests in the store: right bytes or none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from synapse_sync.errors import IntegrityError
from synapse_sync.store.includes import keep_include, kept_include

TEXT = b"[models]\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()


def test_kept_and_found(tmp_path: Path) -> None:
    assert kept_include(tmp_path, SHA256) is None
    keep_include(tmp_path, SHA256, TEXT)
    assert kept_include(tmp_path, SHA256) == TEXT


def test_other_bytes_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        keep_include(tmp_path, SHA256, TEXT + b"#")
    assert kept_include(tmp_path, SHA256) is None


def test_a_damaged_file_counts_as_missing(tmp_path: Path) -> None:
    keep_include(tmp_path, SHA256, TEXT)
    (path,) = (tmp_path / "includes").iterdir()
    path.write_bytes(b"")
    assert kept_include(tmp_path, SHA256) is None
    path.unlink()
    path.mkdir()
    assert kept_include(tmp_path, SHA256) is None

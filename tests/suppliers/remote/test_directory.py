"""A directory as a remote: what its errors name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.core.remote import parse_remote
from synapse_sync.errors import StorageError
from synapse_sync.suppliers.remote.directory import DirectoryRemote


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = DirectoryRemote(parse_remote(str(tmp_path), ""))

    def refuse(path: Any, *more: Any) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match="no permission") as caught:
        remote.put("ab" * 32, iter([b"x"]), 1)
    monkeypatch.undo()
    assert f"({tmp_path})" in caught.value.message or f"({tmp_path / 'tmp'})" in caught.value.message
    assert caught.value.hint is not None and "who may read and write" in caught.value.hint


def test_a_directory_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    remote = DirectoryRemote(parse_remote(str(tmp_path), ""))
    place = tmp_path / "blobs/sha256/ab" / ("ab" * 32)
    place.mkdir(parents=True)
    with pytest.raises(StorageError, match="is a directory") as caught:
        remote.put("ab" * 32, iter([b"x"]), 1)
    assert str(place) in caught.value.message and caught.value.hint is not None
    assert not list((tmp_path / "tmp").iterdir())

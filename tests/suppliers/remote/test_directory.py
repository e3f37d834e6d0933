"""A directory as a remote: what its errors name, and what is never deleted in it."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.core.remote import BLOBS, LOCKFILES, blob_path, lockfile_path, parse_remote
from synapse_sync.errors import StorageError
from synapse_sync.store.durable import random_name
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


def test_only_temporary_files_of_killed_pushes_are_removed(tmp_path: Path) -> None:
    """A network drive may have a directory `tmp` of its own."""
    remote = DirectoryRemote(parse_remote(str(tmp_path), ""))
    mine, left, new = (tmp_path / "tmp" / name for name in ("thesis.odt", random_name(), random_name()))
    mine.parent.mkdir()
    for path in (mine, left, new):
        path.write_bytes(b"x")
    for path in (mine, left):
        os.utime(path, (1, 1))
    assert remote.abort_uploads(time.time() - 3600) == 1
    assert mine.exists() and new.exists() and not left.exists()


@pytest.mark.parametrize("where", [LOCKFILES, BLOBS])
def test_a_directory_that_cannot_be_listed_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A collection would delete the files of the lockfiles in it."""
    remote = DirectoryRemote(parse_remote(str(tmp_path), ""))
    assert list(remote.entries(where)) == []
    paths = {f(digit * 64) for f in (blob_path, lockfile_path) for digit in "ab"}
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"x")
    assert {entry.path for entry in remote.entries(where)} == {path for path in paths if path.startswith(where)}
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("bb"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StorageError, match="listing") as caught:
        list(remote.entries(where))
    assert str(tmp_path) in caught.value.message

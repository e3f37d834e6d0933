"""The file of a bundle, or the pipe that it is written to."""

from __future__ import annotations

import errno
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.core.bundle import Member, contents_of
from synapse_sync.errors import Conflict, StorageError
from synapse_sync.store.bundle_archive import ArchiveWriter
from synapse_sync.store.bundle_file import Pipe, written


class Failing(io.BytesIO):
    """A stream that fails at a write, or at a flush."""

    def __init__(self, error: OSError, *, writes: int) -> None:
        super().__init__()
        self.error, self.writes = error, writes

    def write(self, data: Any, /) -> int:
        if not self.writes:
            raise self.error
        self.writes -= 1
        return super().write(data)

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "the reader of the bundle has gone"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "the reader of the bundle has gone"),
        (OSError(errno.ENOSPC, "No space left"), "writing the bundle to standard output: the disk"),
    ],
)
@pytest.mark.parametrize("writes", range(8))
def test_a_stream_that_fails_is_named_wherever_it_does(error: OSError, words: str, writes: int) -> None:
    """At the list, in a member, at the end, and at the flush."""
    member = Member(name="project/synapse.toml", sha256=hashlib.sha256(b"x").hexdigest())
    archive = ArchiveWriter(Pipe(Failing(error, writes=writes)))
    with pytest.raises(StorageError, match=words):
        archive.begin(contents_of([member]))
        archive.add(member, 1, [b"x"])
        archive.end()


def test_a_file_that_somebody_made_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "studio.tar"
    with pytest.raises(Conflict, match="no earlier bundle"):  # noqa: SIM117 - the second one writes
        with written(out, store=tmp_path / "store", on_wait=print) as file:
            file.write(b"an archive")
            out.write_bytes(b"mine")
    assert out.read_bytes() == b"mine" and not out.with_name("studio.tar.partial").exists()

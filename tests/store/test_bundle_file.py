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


class Raw(io.RawIOBase):
    """Standard output without a buffer, whose writes a signal interrupts: it accepts some bytes at a time."""

    def __init__(self, most: int | None) -> None:
        self.most, self.got = most, bytearray()

    def write(self, data: Any, /) -> int | None:
        if self.most is None:
            return None
        self.got += data[: self.most]
        return min(self.most, len(data))


@pytest.mark.parametrize("most", [1, 300, 511, 100_000])
def test_a_stream_that_accepts_a_part_receives_the_rest_as_well(most: int) -> None:
    member = Member(name="project/synapse.toml", sha256=hashlib.sha256(b"x" * 2000).hexdigest())
    found = []
    for stream in (Raw(most), io.BytesIO()):
        archive = ArchiveWriter(Pipe(stream))  # type: ignore[arg-type]
        archive.begin(contents_of([member]))
        archive.add(member, 2000, [b"x" * 1500, memoryview(b"x" * 500)])
        archive.end()
        found.append(bytes(stream.got if isinstance(stream, Raw) else stream.getvalue()))
    assert found[0] == found[1]


def test_a_stream_that_would_block_is_named() -> None:
    with pytest.raises(StorageError, match="writing the bundle to standard output"):
        Pipe(Raw(None)).write(b"x")  # type: ignore[arg-type]


def test_a_file_that_somebody_made_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "studio.tar"
    with pytest.raises(Conflict, match="no earlier bundle"):  # noqa: SIM117 - the second one writes
        with written(out, store=tmp_path / "store", on_wait=print) as file:
            file.write(b"an archive")
            out.write_bytes(b"mine")
    assert out.read_bytes() == b"mine" and not out.with_name("studio.tar.partial").exists()

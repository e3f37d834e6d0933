"""A token file may be a pipe, which only the user can name; nothing endless is read to its end."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_sync.errors import InputError
from synapse_sync.user.tokens import from_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")


@contextlib.contextmanager
def piped(data: bytes) -> Iterator[Path]:
    """A pipe as `<(…)` makes it: the writer is there, and takes a moment."""
    reading, writing = os.pipe()

    def write() -> None:
        time.sleep(0.05)
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
        writer.join()


def test_a_token_comes_through_a_pipe() -> None:
    with piped(b"\xef\xbb\xbfa-token\n") as pipe:
        token = from_file(pipe, "the pipe")
    assert token is not None
    assert token.secret.reveal() == "a-token"


def test_a_pipe_that_does_not_end_is_refused() -> None:
    with piped(b"x" * 1_000_000) as pipe, pytest.raises(InputError, match="more than 64 kB"):
        from_file(pipe, "the pipe")


def test_a_pipe_that_nobody_writes_into_hangs_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="nothing is written"):
        from_file(tmp_path / "pipe", "the pipe")


def test_a_device_is_no_token_file() -> None:
    with pytest.raises(InputError, match="not a regular file"):
        from_file(Path("/dev/zero"), "the device")

"""A token file may be a pipe, which only the user can name; nothing endless is read to its end."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from synapse_sync.errors import InputError
from synapse_sync.user.tokens import from_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")


def piped(path: Path, data: bytes) -> threading.Thread:
    os.mkfifo(path)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError):
            path.write_bytes(data)

    writer = threading.Thread(target=write)
    writer.start()
    return writer


def test_a_token_comes_through_a_pipe(tmp_path: Path) -> None:
    writer = piped(tmp_path / "pipe", b"\xef\xbb\xbfa-token\n")
    token = from_file(tmp_path / "pipe", "the pipe")
    writer.join()
    assert token is not None
    assert token.secret.reveal() == "a-token"


def test_a_pipe_that_does_not_end_is_refused(tmp_path: Path) -> None:
    writer = piped(tmp_path / "pipe", b"x" * 1_000_000)
    with pytest.raises(InputError, match="more than 64 kB"):
        from_file(tmp_path / "pipe", "the pipe")
    writer.join()


def test_a_device_is_no_token_file() -> None:
    with pytest.raises(InputError, match="not a regular file"):
        from_file(Path("/dev/zero"), "the device")

"""Small files: regular ones, whole, and nothing that could hang a command or fill its memory."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from pathlib import Path

import pytest
from world import meanwhile

from synapse_sync.user.small_files import LARGEST, UnfitFile, content, content_digest, read_small

posix = pytest.mark.skipif(os.name == "nt", reason="pipes and devices of POSIX")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_a_regular_file_is_read_whole(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    place, link = tmp_path / "file", tmp_path / "link"
    place.write_bytes(data)
    link.symlink_to(place)
    for path in (place, link):
        assert read_small(path) == content(str(path)) == data
        assert content_digest(str(path)) == hashlib.sha256(data).digest()


def test_an_absent_file_is_empty_for_those_who_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for absent in (tmp_path / "absent", tmp_path / "file" / "below"):
        assert content(str(absent)) == b""
        assert content_digest(str(absent)) == hashlib.sha256().digest()
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            read_small(absent)


def unfit(kind: str, place: Path) -> str:
    """Make something that is no small file; returns the words for it."""
    match kind:
        case "directory":
            place.mkdir()
            return "it is a directory"
        case "pipe":
            os.mkfifo(place)
        case "endless":
            place.symlink_to("/dev/zero")
        case "terminal":
            place.symlink_to("/dev/tty" if Path("/dev/tty").exists() else "/dev/null")
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(place))
        case "large":
            with place.open("wb") as file:
                file.truncate(LARGEST + 1)
            return "it has more than 64 MB"
    return "it is not a regular file"


@posix
@pytest.mark.parametrize("kind", ["directory", "pipe", "endless", "terminal", "socket", "large"])
@pytest.mark.parametrize("read", [lambda path: read_small(path), content, content_digest])
def test_anything_else_is_refused_at_once(tmp_path: Path, kind: str, read) -> None:
    words = unfit(kind, tmp_path / "state")
    with pytest.raises(UnfitFile) as caught:
        read(str(tmp_path / "state"))
    assert (caught.value.strerror, caught.value.filename) == (words, str(tmp_path / "state"))


@posix
def test_a_pipe_that_takes_the_name_meanwhile(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.write_text("small")

    def swap() -> None:
        place.unlink()
        os.mkfifo(place)

    with meanwhile("open", place, swap), pytest.raises(UnfitFile, match="not a regular file"):
        read_small(str(place))


@pytest.mark.skipif(not Path("/proc/kallsyms").exists(), reason="needs files whose size is not what it says")
def test_the_limit_is_one_of_bytes_not_of_what_the_file_system_says() -> None:
    assert Path("/proc/kallsyms").stat().st_size == 0
    with pytest.raises(UnfitFile, match="more than 1 MB"):
        read_small("/proc/kallsyms", 100_000)


def test_the_limit_itself_fits(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert len(read_small(tmp_path / "file", 100)) == 100
    with pytest.raises(UnfitFile):
        read_small(tmp_path / "file", 99)


@posix
def test_a_pipe_with_a_writer_is_no_file_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    handle = os.open(tmp_path / "pipe", os.O_RDWR)
    thread = threading.Thread(target=os.write, args=(handle, b"[models]\n"))
    thread.start()
    with pytest.raises(UnfitFile):
        read_small(tmp_path / "pipe")
    thread.join()
    os.close(handle)

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_sync.store.writeback import Writeback, start_writing

MIB = 1 << 20


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[int]:
    with (tmp_path / "f").open("wb") as file:
        yield file.fileno()


class Kernel:
    """Notes which files it was asked for; it says yes, unless `refuses`."""

    def __init__(self, refuses: bool = False) -> None:
        self.asked: list[tuple[int, int]] = []
        self.refuses = refuses
        self.go = threading.Event()
        self.go.set()

    def __call__(self, handle: int) -> bool:
        self.asked.append((handle, os.fstat(handle).st_ino))
        assert self.go.wait(10)
        return not self.refuses


def test_a_request_for_each_sixteen_mebibytes(handle: int) -> None:
    kernel = Kernel()
    writeback = Writeback(kernel)
    for count in (*[MIB] * 47, 40 * MIB):
        writeback.wrote(handle, count)
        writeback.settle()
    assert [inode for _, inode in kernel.asked] == [os.fstat(handle).st_ino] * 3


def test_the_disk_holds_up_no_writer(handle: int) -> None:
    """One request at a time; the next one is for all that came meanwhile."""
    kernel = Kernel()
    kernel.go.clear()
    writeback = Writeback(kernel)
    for _ in range(64):
        writeback.wrote(handle, MIB)
    kernel.go.set()
    writeback.settle()
    assert len(kernel.asked) == 1
    writeback.wrote(handle, MIB)
    writeback.settle()
    assert len(kernel.asked) == 2


def test_a_request_has_a_handle_of_its_own_and_gives_it_back(tmp_path: Path) -> None:
    """The writer may close the file, and its number may become that of another one."""
    kernel = Kernel()
    kernel.go.clear()
    writeback = Writeback(kernel)
    with (tmp_path / "f").open("wb") as file:
        writeback.wrote(file.fileno(), 16 * MIB)
        theirs = file.fileno()
    kernel.go.set()
    writeback.settle()
    [(own, _)] = kernel.asked
    assert own != theirs
    with pytest.raises(OSError, match=r"descriptor|handle"):
        os.fstat(own)


def test_where_it_is_of_no_use_it_is_asked_once(handle: int) -> None:
    kernel = Kernel(refuses=True)
    writeback = Writeback(kernel)
    for _ in range(4):
        writeback.wrote(handle, 16 * MIB)
        writeback.settle()
    assert len(kernel.asked) == 1


def test_without_a_thread_it_is_left_to_the_fsync(handle: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    kernel = Kernel()
    writeback = Writeback(kernel)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        highest = os.dup(handle)
        os.close(highest)
        writeback.wrote(handle, 16 * MIB)
        again = os.dup(handle)
        os.close(again)
    writeback.settle()
    assert kernel.asked == [] and again == highest, "no handle is left open"


def test_several_threads_write_one_file(handle: int) -> None:
    kernel = Kernel()
    writeback = Writeback(kernel)
    threads = [threading.Thread(target=lambda: [writeback.wrote(handle, MIB) for _ in range(64)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writeback.settle()
    assert 1 <= len(kernel.asked) <= 4 * 64 // 16


def test_without_a_number_for_the_file_nothing_is_asked() -> None:
    """As where too many files are open: the bytes are written all the same."""
    kernel = Kernel()
    writeback = Writeback(kernel)
    writeback.wrote(-1, 16 * MIB)
    writeback.settle()
    assert kernel.asked == []


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_linux_accepts_the_request(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.write(bytes(MIB))
        file.flush()
        assert start_writing(file.fileno())
    assert not start_writing(-1), "an error is for the fsync"


@pytest.mark.skipif(sys.platform == "linux", reason="a call of Linux")
def test_elsewhere_nothing_is_asked(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        assert not start_writing(file.fileno())

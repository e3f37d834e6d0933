from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from synapse_sync.store.writeback import Writeback, start_writing

MIB = 1 << 20


def test_a_request_for_each_sixteen_mebibytes() -> None:
    asked: list[int] = []
    writeback = Writeback(asked.append)
    for _ in range(47):
        writeback.wrote(7, MIB)
    assert asked == [7, 7]
    writeback.wrote(7, 40 * MIB)
    assert asked == [7, 7, 7]


def test_several_threads_write_one_file() -> None:
    asked: list[int] = []
    writeback = Writeback(asked.append)
    threads = [threading.Thread(target=lambda: [writeback.wrote(7, MIB) for _ in range(64)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 4 * 64 // 16


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

"""Memory for large reads begins where the kernel copies into it fast."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys

import pytest
from test_floors import MODULES, PACKAGE

from synapse_sync.blocks import new_block


def _address(block: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(block))


@pytest.mark.parametrize("size", [1 << 16, 256 << 10, 1 << 20, (1 << 20) + 1])
def test_a_large_block_begins_at_a_multiple_of_64(size: int) -> None:
    assert _address(new_block(size)) % 64 == 0


@pytest.mark.parametrize("size", [0, 1, 4096, (1 << 16) - 1, 1 << 16, 1 << 20])
def test_a_block_has_its_size_and_can_be_written(size: int) -> None:
    block = new_block(size)

    assert len(block) == size
    assert not any(block)
    block[:] = b"x" * size
    assert block.tobytes() == b"x" * size


def test_blocks_are_apart() -> None:
    one, other = new_block(1 << 20), new_block(1 << 20)

    one[:4] = b"mine"

    assert bytes(other[:4]) == bytes(4)


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
def test_without_a_file_handle_for_the_module_a_block_begins_anywhere() -> None:
    code = """
import os, resource, sys
from synapse_sync.blocks import new_block
sys.modules.pop("mmap", None)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        os.open(os.devnull, os.O_RDONLY)
except OSError:
    pass
block = new_block(1 << 20)
block[-1] = 1
os.write(1, f"{len(block)} {block[-1]}".encode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{1 << 20} 1", "")


def test_no_room_makes_memory_for_reads_in_another_way() -> None:
    """`Stream.peek` alone does: some bytes of a head."""
    others = {
        module.relative_to(PACKAGE).as_posix()
        for module in MODULES
        if re.search(r"memoryview\(bytearray\((?!1\))", module.read_text("utf-8"))
    }

    assert others == {"blocks.py", "net/stream.py"}

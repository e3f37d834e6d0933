"""Clones on ReFS: the pieces of a file, and the fall-back on every other file system of Windows."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from synapse_sync.store import clone_windows
from synapse_sync.store.clone_windows import pieces

GIB = 1 << 30


@pytest.mark.parametrize(
    ("size", "cluster", "found"),
    [
        (0, 4096, []),
        (1, 4096, [(0, 4096)]),
        (4096, 4096, [(0, 4096)]),
        (4097, 4096, [(0, 8192)]),
        (GIB, 65536, [(0, GIB)]),
        (GIB + 1, 65536, [(0, GIB), (GIB, 65536)]),
        (2 * GIB + 70_000, 65536, [(0, GIB), (GIB, GIB), (2 * GIB, 131_072)]),
    ],
)
def test_the_pieces_cover_the_file_in_whole_clusters(size: int, cluster: int, found: list[tuple[int, int]]) -> None:
    assert list(pieces(size, cluster)) == found


def test_every_piece_is_smaller_than_windows_permits_at_most() -> None:
    for cluster in (512, 4096, 65536, 3 * 4096):
        parts = list(pieces(10 * GIB + 5, cluster))
        assert sum(count for _, count in parts) >= 10 * GIB + 5
        assert all(count < 4 * GIB and start % cluster == 0 == count % cluster for start, count in parts)


@pytest.mark.skipif(sys.platform != "win32", reason="it asks Windows")
def test_a_file_system_without_shared_blocks_refuses_before_a_file_is_made(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"bytes")
    with pytest.raises(OSError, match="cloning is not supported here") as caught:
        clone_windows.clone(tmp_path / "blob", tmp_path / "copy")
    assert caught.value.errno == errno.ENOTSUP
    assert not (tmp_path / "copy").exists()

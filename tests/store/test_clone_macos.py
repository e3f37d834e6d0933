"""Clones on APFS: the call, the mode of the new file, and the fall-back; the system's function is played here."""

from __future__ import annotations

import ctypes
import errno
import shutil
import stat
from pathlib import Path

import pytest

from synapse_sync.core.link_mode import LinkMode
from synapse_sync.store import clone_macos, links


class System:
    """`clonefile` as macOS has it; `refusal` is the error of a file system without clones."""

    def __init__(self, refusal: int = 0) -> None:
        self.refusal = refusal
        self.calls: list[tuple[bytes, bytes, int]] = []

    def __call__(self, source: bytes, copy: bytes, flags: int) -> int:
        self.calls.append((source, copy, flags))
        if self.refusal:
            ctypes.set_errno(self.refusal)
            return -1
        shutil.copy2(source, copy)  # the mode goes with it
        return 0


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(b"weights")
    path.chmod(0o444)
    return path


def play(patch: pytest.MonkeyPatch, system: System) -> None:
    patch.setattr(clone_macos, "clonefile", lambda: system)
    patch.setattr(links.sys, "platform", "darwin")
    patch.setattr(links, "without_clones", set())


@pytest.mark.parametrize("mode", [LinkMode.AUTO, LinkMode.CLONE])
def test_a_clone_is_a_file_of_its_owner(
    tmp_path: Path, blob: Path, monkeypatch: pytest.MonkeyPatch, mode: LinkMode
) -> None:
    system = System()
    with monkeypatch.context() as patch:
        play(patch, system)
        assert links.place(blob, tmp_path / "tree" / "a.safetensors", mode) is LinkMode.CLONE
    placed = tmp_path / "tree" / "a.safetensors"
    assert (placed.read_bytes(), blob.read_bytes()) == (b"weights", b"weights")
    assert placed.stat().st_mode & stat.S_IWUSR, "its owner may write to it"
    assert not blob.stat().st_mode & stat.S_IWUSR
    assert [(source, flags) for source, _, flags in system.calls] == [(bytes(blob), 2)]


@pytest.mark.parametrize("refusal", [errno.ENOTSUP, errno.EXDEV])
def test_auto_passes_on_where_there_are_none(
    tmp_path: Path, blob: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    system = System(refusal)
    with monkeypatch.context() as patch:
        play(patch, system)
        for name in ("a", "b"):
            assert links.place(blob, tmp_path / "tree" / name, LinkMode.AUTO) is LinkMode.HARDLINK
    assert len(system.calls) == 1, "the second file is not tried again"
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["a", "b"]

"""Files that the user has under another name are used, and only read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from workbench import CHECKPOINT, sha256
from world import Project, opened

from synapse_sync.demo import catalogue
from synapse_sync.store import known_digests
from synapse_sync.store.known_digests import KnownDigests
from synapse_sync.suppliers.tree_files import TreeFiles

TARGET = '[targets.t]\nroot = "ui"\nlink-mode = "copy"\n'
MANIFEST = f'{TARGET}[models]\np = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n'
#: A file of this length is worth remembering.
LARGE = b"data" + bytes(16 << 20)


@pytest.fixture
def content(project: Project) -> bytes:
    found = project.hub.civitai.models[catalogue.PORTRAIT]
    return next(version.files[0].content for version in found.versions if version.id == catalogue.PORTRAIT_V1)


def make(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def reasons(project: Project) -> list[str]:
    return [
        action["reason"] for action in project("status", "--json").json["actions"] if action["verb"] == "salvage"
    ]


def asked(project: Project) -> int:
    return len(project.hub.requests("storage"))


# -- with the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "models/checkpoints/my own name.safetensors",
        "models/checkpoints/old/deep/portrait.safetensors",
        "models/loras/portrait_v1.safetensors",
        "models/a folder of mine/x.bin",
    ],
)
@pytest.mark.parametrize("words", [(), ("--offline",)], ids=["online", "offline"])
def test_the_bytes_of_a_file_under_another_name_are_used(
    project: Project, content: bytes, name: str, words: tuple[str, ...]
) -> None:
    mine = make(project.path / "ui" / name, content)
    project.manifest(MANIFEST)
    project("lock")
    before, look = asked(project), mine.stat()
    assert reasons(project) == ["the same bytes are on this machine"]
    project("sync", *words)
    assert (project.path / "ui" / CHECKPOINT).read_bytes() == content
    assert asked(project) == before
    after = mine.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (look.st_ino, look.st_mtime_ns, look.st_mode)
    project.manifest(f'{TARGET}[models]\ne = "civitai:{catalogue.EYES}"\n')
    project("sync")
    assert mine.read_bytes() == content, "it is the user's, and stays when the model is pruned"


@pytest.mark.parametrize("how", ["link", "folder link", "other target"])
def test_it_is_found_behind_links_and_in_other_targets(
    project: Project, content: bytes, tmp_path: Path, how: str
) -> None:
    mine = make(tmp_path / "disk" / "x.safetensors", content)
    folder = project.path / "ui" / "models" / "loras"
    folder.mkdir(parents=True)
    head = ""
    if how == "link":
        (folder / "mine.safetensors").symlink_to(mine)
    elif how == "folder link":
        (folder / "disk").symlink_to(mine.parent)
        (mine.parent / "circle").symlink_to(folder)
    else:
        make(tmp_path / "forge" / "models" / "Lora" / "x.safetensors", content)
        head = f'[targets.f]\nlayout = "forge"\nroot = "{tmp_path / "forge"}"\n'
    project.manifest(head + MANIFEST)
    project("lock")
    before = asked(project)
    project("sync", "--target", "t")
    assert (project.path / "ui" / CHECKPOINT).read_bytes() == content
    assert asked(project) == before


def test_what_another_project_placed_is_used(project: Project, content: bytes, tmp_path: Path) -> None:
    """In the mode `move` the bytes are in that tree only, and the receipt knows them."""
    project.manifest(MANIFEST.replace("copy", "move"))
    project("sync")
    assert project.blobs() == []
    other = replace(project, path=tmp_path / "other")
    other.path.mkdir()
    other.manifest(MANIFEST)
    other("lock")
    before = asked(project)
    assert reasons(other) == ["the same bytes are on this machine"]
    other("sync", "--offline")
    assert (
        (other.path / "ui" / CHECKPOINT).read_bytes() == content == (project.path / "ui" / CHECKPOINT).read_bytes()
    )
    assert asked(project) == before


def test_what_another_project_placed_and_somebody_changed_is_not(
    project: Project, content: bytes, tmp_path: Path
) -> None:
    project.manifest(MANIFEST.replace("copy", "move"))
    project("sync")
    (project.path / "ui" / CHECKPOINT).write_bytes(b"changed")
    other = replace(project, path=tmp_path / "other")
    other.path.mkdir()
    other.manifest(MANIFEST)
    other("sync")
    assert (other.path / "ui" / CHECKPOINT).read_bytes() == content


def test_a_file_of_the_same_size_is_not_taken(project: Project, content: bytes) -> None:
    make(project.path / "ui/models/loras/x.safetensors", bytes(len(content)))
    project.manifest(MANIFEST)
    project("sync")
    assert (project.path / "ui" / CHECKPOINT).read_bytes() == content


def test_what_cannot_be_placed_is_not_read_for(project: Project, content: bytes) -> None:
    """A file in the way under the wanted name is a conflict as before."""
    make(project.path / "ui/models/loras/mine.safetensors", content)
    make(project.path / "ui" / CHECKPOINT, b"something else")
    project.manifest(MANIFEST)
    assert "--force" in project("sync", code=7).err


# -- alone ---------------------------------------------------------------------------------------------


def test_hidden_and_shallow_folders(tmp_path: Path) -> None:
    make(tmp_path / "flat" / "below" / "deep", b"deep")
    make(tmp_path / "flat" / "here", b"here")
    make(tmp_path / "models" / ".cache" / "hidden", b"hidden")
    files = TreeFiles([(tmp_path / "flat", False), (tmp_path / "models", True)], KnownDigests(tmp_path / "store"))
    assert files.find(sha256(b"here"), 4) == tmp_path / "flat" / "here"
    assert files.find(sha256(b"deep"), 4) is None
    assert files.find(sha256(b"hidden"), 6) is None
    assert files.find(sha256(b""), 0) is None


def test_a_link_to_far_too_much_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest files are found, and the look ends: a link may lead to a disk of millions of files."""
    monkeypatch.setattr("synapse_sync.suppliers.tree_files.MOST_ENTRIES", 10)
    make(tmp_path / "models" / "near", b"near")
    for number in range(8):
        make(tmp_path / "disk" / str(number) / "far", b"farther")
    (tmp_path / "models" / "disk").symlink_to(tmp_path / "disk")
    files = TreeFiles([(tmp_path / "models", True)], KnownDigests(tmp_path / "store"))
    assert files.find(sha256(b"near"), 4) == tmp_path / "models" / "near"
    assert files.find(sha256(b"farther"), 7) is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc on this system")
def test_the_state_of_the_kernel_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "all").symlink_to("/proc")
    with opened("os.scandir") as directories:
        assert TreeFiles([(tmp_path, True)], KnownDigests(tmp_path)).find(sha256(b"x"), 4) is None
    assert directories == [str(tmp_path)]


def test_what_cannot_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a", b"data")
    right = make(tmp_path / "b", b"data")
    real = known_digests.hash_file

    def hash_file(path: Path) -> str:
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(known_digests, "hash_file", hash_file)
    assert TreeFiles([(tmp_path, True)], KnownDigests(tmp_path / "store")).find(sha256(b"data"), 4) == right


def test_large_files_are_hashed_once(tmp_path: Path) -> None:
    path, store = make(tmp_path / "x", LARGE), tmp_path / "store"
    store.mkdir()
    first = KnownDigests(store)
    assert first.of(path) == sha256(LARGE)
    first.save()
    with opened() as paths:
        assert KnownDigests(store).of(path) == sha256(LARGE)
    assert str(path) not in paths, "hashed again"
    make(path, b"other" + LARGE)
    os.utime(path, ns=(1, 1))
    second = KnownDigests(store)
    assert second.of(path) == sha256(b"other" + LARGE)
    path.unlink()
    second.save()
    assert (store / "digests.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"x": 1}', b'{"x": [1, 2, 3, "no digest"]}', b"[" * 100_000]
)
def test_a_damaged_memory_counts_as_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "digests.json").write_bytes(damage)
    assert KnownDigests(tmp_path).of(make(tmp_path / "x", LARGE)) == sha256(LARGE)


def test_no_more_than_a_limit_of_files_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link may lead to the root of a disk."""
    contents = [bytes([number]) * 5 for number in range(4)]
    for number, content in enumerate(contents):
        make(tmp_path / f"{number}", content)
    monkeypatch.setattr("synapse_sync.suppliers.tree_files.MOST_ENTRIES", 3)
    files = TreeFiles([(tmp_path, True)], KnownDigests(tmp_path / "digests"))
    assert [files.find(sha256(content), 5) is not None for content in contents] == [True, True, True, False]

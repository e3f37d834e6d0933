"""Adopted files: whose they are, from the first sync to the hand-over."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cases import case
from workbench import CHECKPOINT, blob, declare, sha256, target, workspace
from world import Project

from synapse_sync.core.plan import Verb
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import InputError

pytestmark = pytest.mark.usefixtures("impatient")
MINE, NEW = safetensors_bytes("mine"), safetensors_bytes("new")
PLACE = "models/loras/file.dat"


def wants(project: Project, content: bytes | None, root: str, mode: str = "copy") -> None:
    """Write a manifest that wants one file with this content (None: no file), and one that always stays."""
    (project.path / "other.safetensors").write_bytes(safetensors_bytes("other"))
    text = target("t", root, mode) + '[models.other]\nsource = "./other.safetensors"\ntype = "vae"\n'
    if content is not None:
        name = f"source-{sha256(content)[:8]}"
        (project.path / name).write_bytes(content)
        text += f'[models.m]\nsource = "./{name}"\nfilename = "file.dat"\ntype = "lora"\n'
    project.manifest(text)


def found(root: Path, content: bytes) -> Path:
    """A file of the user at the wanted path."""
    place = root / PLACE
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    return place


def how(root: Path) -> dict[str, str]:
    """How each file came into the tree, as the receipts say."""
    listed: list[dict[str, Any]] = [
        entry
        for path in (root / ".synapse").glob("receipt-*.json")
        for entry in json.loads(path.read_bytes())["entries"]
    ]
    return {entry["path"]: entry["how"] for entry in listed}


THEIRS = [
    ("ui", b""),
    ("ui", b"my notes\n"),
    ("ui", b"DIRC\0\0\0\2\0\0"),
    ("ui", b"GGUF and no more"),
    ("away", MINE),
]


@pytest.fixture(params=THEIRS, ids=["empty", "text", "unknown", "cut off", "outside"])
def adopted(request: pytest.FixtureRequest, project: Project, tmp_path: Path) -> tuple[Project, Path, bytes, str]:
    """A project that adopted a file of the user: the project, the file, its content and the target's root."""
    where, content = request.param
    root = str(tmp_path / "ui") if where == "away" else "ui"
    place = found(project.path / root, content)
    wants(project, content, root)
    project("lock")
    assert "stays yours" in project("status").out
    project("sync")
    assert how(project.path / root)[PLACE] == "adopted"
    project("sync", "--check")
    return project, place, content, root


@case(192)
def test_it_is_not_replaced_until_it_is_handed_over(adopted: tuple[Project, Path, bytes, str]) -> None:
    project, place, content, root = adopted
    wants(project, NEW, root)
    project("lock")
    shown = project("status").out
    assert "it was there before synapse, and is yours" in shown and "! " in shown
    said = project("sync", code=7).err
    assert "synapse trust --take m" in said and "--force" in said
    assert place.read_bytes() == content
    with workspace(project.path) as open_workspace:
        assert open_workspace.take(["m"]) == (str(place),)
        assert open_workspace.take(["m"]) == (), "it is synapse's already"
        assert open_workspace.sync().done(Verb.REPLACE) == 1
    assert place.read_bytes() == NEW
    assert blob(project, content).read_bytes() == content, "the bytes are kept"


def test_force_moves_it_aside(adopted: tuple[Project, Path, bytes, str]) -> None:
    project, place, content, root = adopted
    wants(project, NEW, root)
    project("sync", "--force")
    assert place.read_bytes() == NEW
    assert place.with_name("file.dat.set-aside-1").read_bytes() == content
    wants(project, None, root)
    project("sync")
    assert not place.exists(), "the new one is synapse's"


@case(192)
def test_it_is_not_pruned(adopted: tuple[Project, Path, bytes, str]) -> None:
    project, place, content, root = adopted
    wants(project, None, root)
    assert "it was there before synapse, and is yours" in project("status").out
    project("sync")
    assert place.read_bytes() == content
    assert PLACE not in how(project.path / root)
    assert "nothing to do" in project("sync").out


def test_it_is_pruned_after_it_was_handed_over(adopted: tuple[Project, Path, bytes, str]) -> None:
    project, place, content, root = adopted
    with workspace(project.path) as open_workspace:
        open_workspace.take(["m"])
    assert "nothing to do" in project("sync").out
    project("sync", "--link-mode", "symlink")
    assert not place.is_symlink(), "like any adopted file it satisfies every link mode"
    wants(project, None, root)
    project("sync")
    assert not place.exists()
    assert blob(project, content).read_bytes() == content


def test_verify_leaves_it_where_it_is(adopted: tuple[Project, Path, bytes, str]) -> None:
    project, place, _, _ = adopted
    place.write_bytes(b"my further notes\n")
    said = project("verify", "--repair", code=None)
    assert place.read_bytes() == b"my further notes\n"
    assert "it was there before synapse" in said.err


def test_verify_leaves_one_outside_that_rotted_unseen(project: Project, tmp_path: Path) -> None:
    place = found(tmp_path / "ui", MINE)
    wants(project, MINE, str(tmp_path / "ui"))
    project("sync")
    was, rotten = place.stat(), MINE[:-1] + bytes([MINE[-1] ^ 1])
    with place.open("r+b") as file:
        file.write(rotten)
    os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns))
    project("verify", "--repair", code=None)
    assert place.read_bytes() == rotten


@pytest.mark.parametrize("later", [NEW, None], ids=["replaced", "pruned"])
@pytest.mark.parametrize(("where", "is_found"), [("ui", True), ("ui", False), ("away", False)])
def test_weights_inside_and_files_that_synapse_placed_are_its_own(
    project: Project, tmp_path: Path, where: str, is_found: bool, later: bytes | None
) -> None:
    root = str(tmp_path / "ui") if where == "away" else "ui"
    place = found(project.path / root, MINE) if is_found else project.path / root / PLACE
    wants(project, MINE, root)
    project("sync")
    wants(project, later, root)
    project("sync")
    assert (place.read_bytes() if place.exists() else None) == later


def test_a_folder_of_the_users_that_leads_out_is_outside(project: Project, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (project.path / "ui/models").mkdir(parents=True)
    (project.path / "ui/models/loras").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/file.dat").write_bytes(MINE)
    wants(project, MINE, "ui")
    project("sync")
    wants(project, NEW, "ui")
    project("sync", code=7)
    assert (tmp_path / "disk/file.dat").read_bytes() == MINE


@pytest.mark.parametrize("same_project", [True, False])
def test_what_another_target_or_project_placed_is_synapses(
    project: Project, tmp_path: Path, same_project: bool
) -> None:
    root = tmp_path / "ui"
    wants(project, MINE, str(root))
    project("sync")
    if same_project:
        text = (project.path / "synapse.toml").read_text()
        project.manifest(text + target("u", str(root), "copy"))
        project("sync")
        wants(project, NEW, str(root))
        project.manifest((project.path / "synapse.toml").read_text() + target("u", str(root), "copy"))
        project("sync")
        assert "nothing to do" in project("sync").out
        assert (root / PLACE).read_bytes() == NEW
        return
    here, there = project.path, tmp_path / "second"
    there.mkdir()
    for path in here.glob("*.safetensors"), here.glob("source-*"):
        for file in path:
            (there / file.name).write_bytes(file.read_bytes())
    (there / "synapse.toml").write_text((here / "synapse.toml").read_text())
    with workspace(there) as second:
        second.sync()
        wants(project, None, str(root))
        project("sync")
        assert (root / PLACE).read_bytes() == MINE, "the second project wants it"
        text = (there / "synapse.toml").read_text().partition("[models.m]")[0]
        (there / "synapse.toml").write_text(text)
    with workspace(there) as second:
        assert second.sync().done(Verb.PRUNE) == 1
    assert not (root / PLACE).exists()


def test_only_models_of_the_manifest_can_be_handed_over(project: Project) -> None:
    project.manifest(declare("portrait"))
    project("sync")
    with workspace(project.path) as open_workspace:
        with pytest.raises(InputError, match="no model `portrai`") as caught:
            open_workspace.take(["portrai"])
        assert "portrait" in (caught.value.hint or "")
        assert open_workspace.take(["portrait"]) == (), "it was never the user's"
    assert CHECKPOINT in how(project.path)


def test_the_command_hands_over_and_says_which(adopted: tuple[Project, Path, bytes, str]) -> None:
    project, place, _, root = adopted
    assert "no model `nn`" in project("trust", "--take", "nn", code=2).err
    assert how(project.path / root)[PLACE] == "adopted"
    assert "cannot be combined" in project("trust", "--take", "m", "--list", code=2).err
    assert project("trust", "--take", "m", "--json").json == {"taken": [str(place)]}
    assert how(project.path / root)[PLACE] == "taken"
    assert "nothing to hand over" in project("trust", "--take", "m").err

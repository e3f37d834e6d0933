"""Bytes that are on this machine already: unmanaged files are listed, and other programs' files are used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo.weights import safetensors_bytes

MINE = safetensors_bytes("mine")
WANTED = safetensors_bytes("wanted")


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def tree(project: Project) -> Project:
    put(project.path / "a.safetensors", safetensors_bytes("a"))
    project.manifest('[targets.c]\nroot = "ui"\n[models.a]\nsource = "./a.safetensors"\ntype = "lora"\n')
    project("sync")
    return project


@pytest.mark.parametrize("in_sync", [True, False])
def test_status_lists_unmanaged_files_of_managed_folders(tree: Project, in_sync: bool) -> None:
    put(tree.path / "ui/models/loras/mine.safetensors", MINE)
    put(tree.path / "ui/models/loras/mine.png", b"its preview")
    put(tree.path / "ui/models/vae/elsewhere.safetensors", MINE)
    if not in_sync:
        (tree.path / "ui/models/loras/a.safetensors").unlink()
    done = tree("status").out
    assert "unmanaged: 1 file that synapse did not place" in done
    assert "  · models/loras/mine.safetensors\n" in done
    assert f"mine.safetensors  {len(MINE) / 1000:.1f} kB" in tree("status", "--all").out
    assert tree("status", "--json").json["unmanaged"] == [
        {"target": "c", "path": "models/loras/mine.safetensors", "size": len(MINE), "reason": None}
    ]


def test_status_proposes_no_import_of_files_that_an_import_leaves_out(tree: Project) -> None:
    """Its reasons are those of the import, and the proposal is gone when no file is left that it would declare."""
    folder = tree.path / "ui/models/loras"
    put(folder / "page.safetensors", b"<!doctype html><html></html>")
    put(folder / "pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid x\n")
    put(folder / "cut.safetensors", MINE[:-7])
    put(folder / "empty.ckpt", b"")
    put(folder / "con.safetensors", MINE)
    (folder / "link.safetensors").symlink_to(put(tree.path / "disk/link.safetensors", MINE))
    put(folder / "mine.safetensors", WANTED)
    done = tree("status").out
    assert "mine.safetensors\n" in done and "page.safetensors: it is a web page\n" in done
    assert "`synapse import ui` declares those without a reason" in done
    left = tree("import", "ui", "--offline", "--json").json["left"]
    expected = {Path(each["path"]).name: each["reason"] for each in left}
    assert len(expected) == 6
    listed = tree("status", "--json").json["unmanaged"]
    assert {Path(each["path"]).name: each["reason"] for each in listed} == expected
    done = tree("status").out
    assert "synapse import" not in done and "none of them can be declared as it is" in done
    for name in sorted(expected)[1:]:
        (folder / name).unlink()
    assert "  it cannot be declared as it is\n" in tree("status").out


def test_a_renamed_file_of_a_model_is_no_new_model(tree: Project) -> None:
    """The bytes are declared, and their own path has no file: a second model of the same bytes helps nobody."""
    folder = tree.path / "ui/models/loras"
    (folder / "a.safetensors").rename(folder / "renamed.safetensors")
    why = "these are the bytes of `a`, which synapse.toml places at models/loras/a.safetensors"
    before = (tree.path / "synapse.toml").read_text()
    done = tree("import", "ui", "--offline", "--json")
    assert [each["reason"].startswith(why) for each in done.json["left"]] == [True]
    assert (tree.path / "synapse.toml").read_text() == before
    [listed] = tree("status", "--json").json["unmanaged"]
    assert listed["reason"] == done.json["left"][0]["reason"]
    assert why in tree("why", "ui/models/loras/renamed.safetensors").out.replace("\n", " ")
    tree("remove", "a")
    tree("import", "ui", "--offline")
    assert (
        "[models.renamed]" in (tree.path / "synapse.toml").read_text()
        or "renamed =" in (tree.path / "synapse.toml").read_text()
    )


def test_a_copy_of_a_model_that_is_there_may_be_declared(tree: Project) -> None:
    folder = tree.path / "ui/models/loras"
    put(folder / "copy.safetensors", (folder / "a.safetensors").read_bytes())
    assert "with the bytes of `a`" in tree("why", "ui/models/loras/copy.safetensors").out.replace("\n", " ")
    assert tree("status", "--json").json["unmanaged"][0]["reason"] is None
    assert tree("import", "ui", "--offline", "--json").json["left"] == []


def test_a_long_list_is_cut_and_all_of_it_is_to_be_had(tree: Project) -> None:
    for number in range(14):
        put(tree.path / f"ui/models/loras/{number:02}.safetensors", MINE)
    done = tree("status").out
    assert "… and 4 more; `synapse status --all` lists them" in done
    assert "13.safetensors" not in done
    assert "13.safetensors" in tree("status", "--all").out


def test_nothing_unmanaged_is_not_mentioned(tree: Project) -> None:
    assert "unmanaged" not in tree("status").out
    assert tree("status", "--json").json["unmanaged"] == []


def test_a_tree_of_the_settings_spares_a_download(project: Project, tmp_path: Path) -> None:
    project.hub.huggingface.add_repo("studio/wanted", {"wanted.safetensors": WANTED})
    project.manifest(
        '[targets.c]\nroot = "ui"\n[models.w]\nsource = "hf://studio/wanted/wanted.safetensors"\ntype = "vae"\n'
    )
    other = put(tmp_path / "other tools" / "deep" / f"sha256-{hashlib.sha256(WANTED).hexdigest()}", WANTED)
    config = Path(os.environ["SYNAPSE_CONFIG"])
    text = config.read_text() if config.exists() else ""
    config.write_text(f'trees = ["{other.parents[1]}"]\n{text}')
    project("lock")
    project.hub.clear_log()
    project("sync")
    assert [request for request in project.hub.requests() if "resolve" in request] == []
    assert WANTED in project.tree(root="ui").values()
    assert other.read_bytes() == WANTED
    assert other.stat().st_nlink == 1, "another program's file is never linked"

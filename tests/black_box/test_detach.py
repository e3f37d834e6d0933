"""`synapse detach`: the tree works without synapse and its store, whatever happened on the way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from stand_ins import free_space
from world import Project, meanwhile

from synapse_sync.demo import catalogue
from synapse_sync.store.durable import RESERVE

MANIFEST = f"""
[workspace]
previews = true
sidecars = true
[targets.comfy]
layout = "comfyui"
root = "ComfyUI"
[targets.forge]
layout = "forge"
root = "forge"
[models]
portrait = "civitai:{catalogue.PORTRAIT}"
eyes = "civitai:{catalogue.EYES}"
vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
"""
PORTRAIT = "ComfyUI/models/checkpoints/portrait_v1.safetensors"


@pytest.fixture
def linked(project: Project) -> Project:
    """Two targets of symbolic links, with previews and sidecars."""
    Path(os.environ["SYNAPSE_CONFIG"]).write_text('link-mode = "symlink"\n')
    project.manifest(MANIFEST)
    project("sync")
    assert links_in(project)
    return project


def links_in(project: Project) -> list[str]:
    found = (path for path in project.path.rglob("*") if path.is_symlink())
    return sorted(path.relative_to(project.path).as_posix() for path in found)


def states(project: Project) -> list[str]:
    return sorted(path.parent.name for path in project.path.rglob(".synapse"))


def test_the_tree_is_the_same_without_the_store(linked: Project) -> None:
    before = linked.tree()
    said = linked("detach")
    assert "6 links became files" in said.out
    assert links_in(linked) == [] and states(linked) == []
    shutil.rmtree(linked.store)
    assert linked.tree() == before
    assert "nothing to detach" in linked("detach").out


def test_a_sync_adopts_the_files_again(linked: Project) -> None:
    linked("detach")
    before = linked.tree()
    shutil.rmtree(linked.store)
    report = linked("sync", "--json").json
    assert {action["verb"] for action in report["actions"]} <= {"adopt", "merge", "write"}
    assert linked.tree() == before
    linked("status", "--json")
    assert linked("sync", "--json").json["actions"] == []


def test_a_dry_run_changes_nothing_and_names_the_links(linked: Project) -> None:
    links = links_in(linked)
    found = linked("detach", "--dry-run", "--json").json
    assert [
        f"{'ComfyUI' if t['target'] == 'comfy' else 'forge'}/{t['path']}" for t in found["became_files"]
    ] == links
    assert links_in(linked) == links and states(linked) == ["ComfyUI", "forge"]
    assert PORTRAIT in linked("detach", "-n").out


def test_one_target_leaves_the_other(linked: Project) -> None:
    linked("detach", "--target", "forge")
    assert states(linked) == ["ComfyUI"] and all(link.startswith("ComfyUI/") for link in links_in(linked))
    assert "no target" in linked("detach", "--target", "frge", code=2).err


@pytest.mark.parametrize("what", ["os.rename", "os.rmdir", "os.remove"])
def test_an_interrupted_detach_is_finished_by_the_next_one(linked: Project, what: str) -> None:
    before = linked.tree()
    place = {
        "os.rename": linked.path / "ComfyUI/models/loras",
        "os.rmdir": linked.path / "forge/.synapse",
        "os.remove": linked.path / "ComfyUI/.synapse",
    }[what]

    def stop() -> None:
        raise KeyboardInterrupt

    target = next((path for path in place.rglob("*") if path.is_symlink()), place)
    if what == "os.remove":
        target = next(place.glob("receipt-*.json"))
    elif what == "os.rename":
        target = linked.path / PORTRAIT
    with meanwhile(what, target, stop):
        linked("detach", code=130)
    linked("detach")
    assert links_in(linked) == [] and states(linked) == []
    shutil.rmtree(linked.store)
    assert linked.tree() == before


def test_what_the_user_changed_stays(linked: Project) -> None:
    place = linked.path / PORTRAIT
    place.unlink()
    place.write_bytes(b"mine")
    other = linked.path / "forge/models/VAE/portrait_vae.safetensors"
    other.unlink()
    other.symlink_to("/nowhere")
    assert "2 files changed or gone" in linked("detach").err
    assert place.read_bytes() == b"mine" and other.readlink() == Path("/nowhere")


def test_a_lost_blob_is_an_error_and_nothing_is_forgotten(linked: Project) -> None:
    blob = (linked.path / PORTRAIT).resolve()
    blob.chmod(0o600)
    blob.unlink()
    said = linked("detach", code=9)
    assert "leads to nothing" in said.err and "synapse sync" in said.err
    assert states(linked) == ["ComfyUI", "forge"]
    linked("sync")
    linked("detach")
    assert links_in(linked) == [] and states(linked) == []


def test_wrong_bytes_never_become_a_file(linked: Project) -> None:
    blob = (linked.path / PORTRAIT).resolve()
    blob.chmod(0o600)
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert "no longer has the content" in linked("detach", code=6).err
    assert (linked.path / PORTRAIT).is_symlink()


def test_without_room_nothing_is_changed(linked: Project) -> None:
    links = links_in(linked)
    with free_space(RESERVE + 10_000):
        assert "not enough space" in linked("detach", code=9).err
    assert links_in(linked) == links


def test_hard_links_stay_unless_copies_are_wanted(project: Project) -> None:
    Path(os.environ["SYNAPSE_CONFIG"]).write_text('link-mode = "hardlink"\n')
    project.manifest(MANIFEST)
    project("sync")
    before = project.tree()
    place = project.path / PORTRAIT
    assert place.stat().st_nlink > 1
    assert project("detach", "--target", "forge", "--copy", "--json").json["hard_links"] == 0
    said = project("detach")
    assert "hard links share bytes" in said.err and place.stat().st_nlink == 2  # that of the store, and this one
    forge = project.path / "forge/models/Stable-diffusion/portrait_v1.safetensors"
    assert forge.stat().st_nlink == 1
    shutil.rmtree(project.store)
    assert project.tree() == before


def test_links_inside_a_cache_of_the_hub_stay(project: Project) -> None:
    Path(os.environ["SYNAPSE_CONFIG"]).write_text('link-mode = "symlink"\n')
    project.manifest(
        f'[targets.hub]\nlayout = "hf-cache"\nroot = "hub"\n[models]\ntree = "hf://{catalogue.TREE_REPO}"\n'
    )
    project("sync")
    before = project.tree()
    project("detach")
    shutil.rmtree(project.store)
    assert project.tree() == before
    assert all("/snapshots/" in link for link in links_in(project)) and links_in(project)
    assert not list(project.path.rglob(".synapse"))

"""Questions about files: which model put one here, which ones no workflow names, and all of them as a tree."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from lists import node, png, workflow
from world import Project

from synapse_sync.demo import catalogue

MANIFEST = f"""\
[targets.comfy]
root = "ui"

[targets.forge]
layout = "forge"
root = "forge"
groups = ["portrait"]

[models]
portrait = {{ source = "civitai:{catalogue.PORTRAIT}", groups = ["portrait"], origin = "wf.json (Loader 1)" }}
vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
"""
VAE = "ui/models/vae/portrait_vae.safetensors"
CHECKPOINT = "ui/models/checkpoints/portrait_v1.safetensors"


@pytest.fixture
def studio(project: Project) -> Project:
    project.manifest(MANIFEST)
    os.environ["SYNAPSE_LINK_MODE"] = "copy"
    project("sync")
    return project


def own(project: Project, path: str, size: int = 10) -> Path:
    place = project.path / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"x" * size)
    return place


# -- why ----------------------------------------------------------------------------------------------


def test_the_chain_behind_a_file(studio: Project) -> None:
    (answer,) = studio("why", CHECKPOINT, "--json").json["answers"]
    assert {key: answer[key] for key in ("model", "target", "groups", "origin", "state", "how", "reference")} == {
        "model": "portrait",
        "target": "comfy",
        "groups": ["portrait"],
        "origin": "wf.json (Loader 1)",
        "state": "placed",
        "how": "copy",
        "reference": f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}+920001",
    }
    said = studio("why", str(studio.path / CHECKPOINT)).out
    assert f"civitai:{catalogue.PORTRAIT}" in said and "wf.json (Loader 1)" in said


def test_a_name_alone_means_all_its_places(studio: Project) -> None:
    answers = studio("why", "portrait_v1.safetensors", "--json").json["answers"]
    assert [answer["target"] for answer in answers] == ["comfy", "forge"]


def test_a_preview_belongs_to_its_model(project: Project) -> None:
    project.manifest(f"[workspace]\npreviews = true\n{MANIFEST}")
    project("sync")
    (preview,) = (path for path in project.tree() if path.startswith("ui") and "preview" in path)
    (answer,) = project("why", preview, "--json").json["answers"]
    assert (answer["kind"], answer["model"]) == ("preview", "portrait")


@pytest.mark.parametrize("where", ["in a target", "elsewhere", "in the store", "dropped"])
def test_why_a_file_is_not_ours(studio: Project, where: str) -> None:
    match where:
        case "in a target":
            place, words = own(studio, "ui/models/vae/mine.safetensors"), "it is your own"
        case "elsewhere":
            place, words = own(studio, "x.safetensors"), "outside of all targets"
        case "in the store":
            place, words = next(p for p in (studio.store / "blobs").rglob("*") if p.is_file()), "it is in the store"
        case _:
            studio.manifest(MANIFEST.rpartition("vae =")[0])
            place, words = studio.path / VAE, "the next sync removes it"
    assert words in " ".join(studio("why", str(place)).out.split())


def test_a_path_at_which_nothing_is(studio: Project) -> None:
    assert "no model wants one there" in studio("why", "nowhere/x.safetensors", code=2).err


def test_the_name_of_a_model_is_no_file(studio: Project) -> None:
    refused = studio("why", "portrait", code=2)
    assert "it is a model's" in refused.err and "`synapse show portrait`" in refused.err
    studio("show", "portrait")


def test_a_file_behind_a_link_of_the_user(studio: Project) -> None:
    (studio.path / "short").symlink_to(studio.path / "ui" / "models")
    (answer,) = studio("why", "short/vae/portrait_vae.safetensors", "--json").json["answers"]
    assert answer["model"] == "vae"


# -- unused -------------------------------------------------------------------------------------------


def test_the_models_that_no_workflow_names(studio: Project, tmp_path: Path) -> None:
    own(studio, "ui/models/loras/old.safetensors", 5_000)
    own(studio, "ui/models/loras/styles/ink.safetensors")
    own(studio, "ui/models/embeddings/easy.pt")
    flows = tmp_path / "flows" / "deep"
    flows.mkdir(parents=True)
    flow = workflow(
        node(1, "LoraLoader", widgets=["styles\\ink.safetensors"]),
        node(2, "CLIPTextEncode", widgets=["a cat, embedding:easy"]),
    )
    (flows / "a.json").write_text(json.dumps(flow))
    loads = {"1": {"class_type": "VAELoader", "inputs": {"vae_name": "portrait_vae.safetensors"}}}
    (flows / "b.png").write_bytes(png(prompt=json.dumps(loads)))
    (flows / "c.json").write_text("{")
    found = studio("unused", "--workflows", str(tmp_path / "flows"), "--json").json
    assert [(each["path"], each["model"]) for each in found["unused"]] == [
        ("models/checkpoints/portrait_v1.safetensors", "portrait"),
        ("models/Stable-diffusion/portrait_v1.safetensors", "portrait"),
        ("models/loras/old.safetensors", None),
    ]
    assert (found["workflows"], found["models"], len(found["unread"])) == (2, 6, 1)
    assert found["bytes"] == sum(each["size"] for each in found["unused"]) > 5_000
    said = studio("unused", "--workflows", str(tmp_path / "flows"))
    assert "not managed" in said.out and "3 unused of 6 files" in said.out and "c.json" in said.err
    assert len(studio.tree()) == 6, "nothing is removed"


def test_a_hash_in_an_image_names_its_model(studio: Project, tmp_path: Path) -> None:
    version = studio.hub.civitai.models[catalogue.PORTRAIT].versions[0]
    text = f"a cat\nSteps: 5, Model hash: {version.files[0].hashes['AutoV2'].lower()}, Model: renamed"
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.png").write_bytes(png(parameters=text))
    found = studio("unused", "--workflows", str(tmp_path / "flows"), "--json").json
    assert [each["path"] for each in found["unused"]] == ["models/vae/portrait_vae.safetensors"]


def test_without_workflows_nothing_is_unused(studio: Project, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    assert "names a model" in studio("unused", "--workflows", str(tmp_path / "flows"), code=2).err
    assert "missing" in studio("unused", code=2).err


# -- tree ---------------------------------------------------------------------------------------------


def test_the_tree_of_a_project(studio: Project) -> None:
    (studio.path / VAE).unlink()
    lines = studio("tree").out.splitlines()
    assert lines[0] == "synapse.toml"
    assert lines[1:] == [
        "├─ comfy  comfyui, ui",
        "│  ├─ models/checkpoints",
        "│  │  └─ portrait_v1.safetensors  400 kB  portrait",
        "│  └─ models/vae",
        "│     └─ portrait_vae.safetensors  80.3 kB  vae  [missing]",
        "└─ forge  forge, forge, groups portrait",
        "   └─ models/Stable-diffusion",
        "      └─ portrait_v1.safetensors  400 kB  portrait",
    ]
    value = studio("tree", "--json", "--target", "forge").json
    assert [branch["name"] for branch in value["targets"]] == ["forge"]
    assert [file["state"] for file in value["targets"][0]["files"]] == ["placed"]


def test_targets_with_the_same_root_are_named(project: Project) -> None:
    head = '[targets.a]\nroot = "ui"\n[targets.b]\nroot = "./ui/"\n[targets.c]\nroot = "ui"\nlayout = "flat"\n'
    project.manifest(f'{head}[models]\neyes = "civitai:{catalogue.EYES}"\n')
    project("lock")
    words = "targets `a` and `b` have the same root, ui: give each its own `root`, or remove one"
    assert project("status", "--json").json["warnings"] == [words]
    assert words in project("sync").err.replace("\n", " ")


def test_models_that_are_not_locked_are_a_branch(project: Project) -> None:
    project.manifest(f'[models]\neyes = "civitai:{catalogue.EYES}"\n')
    assert project("tree").out.splitlines()[-2:] == ["└─ not locked", "   └─ eyes"]


def test_what_synapse_wrote_is_no_workflow(studio: Project) -> None:
    """A project's own schema is JSON, too."""
    (studio.path / ".synapse").mkdir(exist_ok=True)
    (studio.path / ".synapse/synapse.schema.json").write_text('{"type": "object"}')
    flow = workflow(node(1, "VAELoader", widgets=["portrait_vae.safetensors"]))
    (studio.path / "flow.json").write_text(json.dumps(flow))
    found = studio("unused", "--workflows", str(studio.path), "--json").json
    assert (found["workflows"], found["unread"]) == (1, [])

"""A list of another program becomes a manifest, and a sync places its files where that program looks."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest
from lists import node, png, workflow
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault

VAE = f"https://huggingface.co/{catalogue.VAE_REPO}/resolve/main/portrait_vae.safetensors?download=true"
CLIP = "https://huggingface.co/comfyanonymous/flux_text_encoders/resolve/main/clip_l.safetensors"
TREE = [
    "models/loras/grain.safetensors",
    "models/text_encoders/clip_l.safetensors",
    "models/vae/portraits/my_vae.safetensors",
]


def shared(project: Project) -> dict[str, Any]:
    """A workflow as people share it: models in nodes and in a subgraph, one in a widget alone."""
    lora = {
        "name": "grain.safetensors",
        "url": f"{project.hub.files.url}/{catalogue.PLAIN_LORA}",
        "directory": "loras",
    }
    return workflow(
        node(1, "VAELoader", {"name": "my_vae.safetensors", "url": VAE, "directory": "vae"},
             widgets=["portraits/my_vae.safetensors"]),
        node(2, "LoraLoader", lora, widgets=["grain.safetensors", 1]),
        node(3, "CheckpointLoaderSimple", widgets=["nowhere.safetensors"]),
        inner=[node(4, "CLIPLoader", {"name": "clip_l.safetensors", "url": CLIP, "directory": "clip"})],
    )  # fmt: skip


def put(project: Project, name: str, content: object) -> str:
    """A file beside the project's own; returns its path."""
    path = project.path.parent / name
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("secret", ["?token=abcdefgh", "?X-Amz-Signature=abcdefgh"])
def test_an_address_that_is_refused_is_a_failure(project: Project, secret: str) -> None:
    """It has a credential, so nothing is declared for it; the other lines are."""
    good = f"{project.hub.files.url}/{catalogue.PLAIN_LORA}"
    file = put(project, "list.txt", f"{project.hub.files.url}/a.safetensors{secret}\n".encode())
    refused = project("import", file, code=2)
    assert "imported 0 models; 1 not resolved" in refused.out and "abcdefgh" not in refused.out + refused.err
    assert project("import", file, "--json", code=2).json["exit_code"] == 2
    file = put(project, "list.txt", f"{good}\n{project.hub.files.url}/a.safetensors{secret}\n".encode())
    assert "imported 1 model; 1 not resolved" in project("import", file, "--trust", "--type", "lora", code=2).out


def test_from_a_workflow_to_its_files(project: Project) -> None:
    file = put(project, "portrait.json", shared(project))
    assert project("import", "--check", file, code=8).out.count("\n  - ") == 3
    found = project("import", file)
    assert "nowhere.safetensors: no location is known" in found.out
    assert "imported 3 models; 1 not resolved" in found.out
    project("sync")
    assert sorted(project.tree()) == TREE
    missing = project("import", "--check", file, "--json", code=8).json["missing"]
    assert [each["filename"] for each in missing] == ["nowhere.safetensors"]
    project("sync", "--check")
    again = project("import", file)
    assert "imported 0 models; 3 declared already; 1 not resolved" in again.out


def test_nothing_is_missing_once_the_rest_is_there(project: Project) -> None:
    file = put(project, "portrait.json", shared(project))
    project("import", file)
    project("sync")
    place = project.path / "models" / "checkpoints" / "nowhere.safetensors"
    place.parent.mkdir()
    place.write_bytes(b"x" * 50)
    assert "nothing is missing: 4 models" in project("import", "--check", file).out
    assert "here already: models/checkpoints/nowhere.safetensors" in project("import", file).out


def test_the_entry_says_where_it_came_from(project: Project) -> None:
    file = put(project, "portrait.json", shared(project))
    project("import", file, "--group", "portrait")
    text = (project.path / "synapse.toml").read_text()
    assert f'my-vae = {{source = "hf://{catalogue.VAE_REPO}@main/portrait_vae.safetensors", ' in text
    assert 'type = "vae", subfolder = "portraits", filename = "my_vae.safetensors", groups = ["portrait"]' in text
    assert 'origin = "portrait.json (VAELoader 1)"' in text
    assert project("lock", "--check").code == 0


def test_a_dry_run_and_a_check_write_nothing(project: Project) -> None:
    file = put(project, "portrait.json", shared(project))
    said = project("import", "-n", file).out
    assert "would import 3 models" in said and "hf://" in said
    project("import", "--check", file, code=8)
    assert list(project.path.iterdir()) == [] and project.hub.requests() == []


def test_an_image_has_its_models(project: Project) -> None:
    """A1111 writes hashes, Civitai the versions: both lead to versions of Civitai."""
    (model,) = (m for m in project.hub.civitai.models.values() if m.id == catalogue.PORTRAIT)
    short = model.versions[0].files[0].hashes["AutoV2"].lower()
    text = (
        f'a cat\nSteps: 20, Model hash: {short}, Model: portrait_v1, Lora hashes: "nobody: 0123456789ab", '
        f'Civitai resources: [{{"type":"lora","modelVersionId":{catalogue.DETAIL_V2}}}]'
    )
    found = project("import", put(project, "cat.png", png(parameters=text)), "--json").json
    assert sorted(each["entry"]["source"] for each in found["added"]) == [
        f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}",
        f"civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V2}",
    ]
    assert [(each["name"], each["reason"]) for each in found["unresolved"]] == [
        ("nobody", "Civitai does not know its hash")
    ]
    project("sync")
    assert sorted(project.tree()) == [
        "models/checkpoints/portrait_v1.safetensors", "models/loras/detail_v2.safetensors",
    ]  # fmt: skip
    lacks = project("import", "--check", str(project.path.parent / "cat.png"), "--json", code=8).json["missing"]
    assert [each["name"] for each in lacks] == ["nobody"]


def test_the_page_of_an_image(project: Project) -> None:
    cover = project.hub.civitai.models[catalogue.PORTRAIT].versions[0].images[0].id
    found = project("import", f"https://civitai.com/images/{cover}", "--json").json
    assert [each["format"] for each in found["lists"]] == ["civitai-image"]
    assert [each["entry"]["origin"] for each in found["added"]] == [f"civitai image {cover} (settings)"]


def test_a_list_at_an_address(project: Project) -> None:
    project.hub.files.put("list.txt", f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors\n".encode())
    project("import", f"{project.hub.files.url}/list.txt")
    assert [model["name"] for model in project.locked()] == ["portrait-vae"]
    result = project("import", f"{project.hub.files.url}/gone.txt", code=4)
    assert "the server has no such file" in result.err


def test_a_model_that_its_site_lacks_is_left_out_and_listed(project: Project) -> None:
    text = f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors\ncivitai:1@2\nhf://{catalogue.GATED_REPO}/gone.safetensors\n"
    found = project("import", put(project, "list.txt", text.encode()), "--json", code=None)
    assert found.code == 4
    assert len(found.json["added"]) == 1 and len(found.json["unresolved"]) == 2
    assert [model["name"] for model in project.locked()] == ["portrait-vae"]


def test_a_dead_plain_address_costs_only_itself(project: Project) -> None:
    """Only its download shows that it is dead; what was downloaded beside it is not asked for again."""
    files = project.hub.files.url
    text = f"{files}/dead/gone.safetensors\n{files}/{catalogue.PLAIN_LORA}\n"
    found = project("import", put(project, "list.txt", text.encode()), "--type", "lora", "--json", code=4).json
    (dead,) = found["unresolved"]
    assert dead["locations"] == [f"{files}/dead/gone.safetensors"] and "no such file (404)" in dead["reason"]
    assert [model["name"] for model in project.locked()] == ["film-grain"]
    asked = [seen.path for seen in project.hub.requests("files")]
    assert sum(catalogue.PLAIN_LORA in path for path in asked) == 1, asked
    assert (
        "imported 0 models; 1 not resolved"
        in project("import", put(project, "dead.txt", text.splitlines()[0].encode()), "--type", "lora", code=4).out
    )


def test_a_page_without_a_version_is_what_is_locked_for_it(project: Project) -> None:
    text = f"https://civitai.com/models/{catalogue.PORTRAIT}\ncivitai:{catalogue.DETAIL}@{catalogue.DETAIL_V1}\n"
    file = put(project, "list.txt", text.encode())
    project("import", "--check", file, code=8)
    project("import", file)
    project("sync")
    assert "nothing is missing: 2 models" in project("import", "--check", file).out
    assert "imported 0 models; 2 declared already" in project("import", file).out
    other = put(project, "other.txt", f"civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V2}\n".encode())
    project("import", "--check", other, code=8)
    whole = put(project, "whole.txt", f"hf://{catalogue.VAE_REPO}\n".encode())
    project("add", f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors")
    project("sync")
    project("import", "--check", whole, code=8)


def test_a_number_of_the_site_is_no_name(project: Project) -> None:
    text = f"https://civitai.com/models/{catalogue.PORTRAIT}\nhttps://civitai.com/api/download/models/{catalogue.DETAIL_V1}\n"
    project("import", put(project, "list.txt", text.encode()))
    still = project.hub.civitai.models[catalogue.DETAIL].versions[0].images[0].id
    project("import", f"https://civitai.com/images/{still}")
    assert [model["name"] for model in project.locked()] == ["detail-slider", "detail-slider-2", "portrait-studio"]


def test_a_failure_of_the_network_writes_nothing(project: Project, impatient: None) -> None:
    project.hub.faults.add("/api", Fault(status=503, times=1000))
    file = put(project, "list.txt", f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors\n".encode())
    project("import", file, code=5)
    assert not (project.path / "synapse.toml").exists()


def test_a_place_inside_the_own_network_needs_consent(project: Project) -> None:
    os.environ["SYNAPSE_TRUST_HOSTS"] = ""
    file = put(project, "portrait.json", shared(project))
    found = project("import", file, code=2)
    assert "imported 2 models; 2 not resolved" in found.out and "`--trust` agrees to it" in found.out
    project("import", file, "--trust")
    assert len(project.locked()) == 3


def test_a_pickle_needs_permission(project: Project) -> None:
    entry = {
        "name": "old.ckpt",
        "url": f"https://civitai.com/models/{catalogue.PICKLE}",
        "directory": "checkpoints",
    }
    file = put(project, "old.json", workflow(node(1, "CheckpointLoaderSimple", entry)))
    assert "`--allow-pickle` accepts it" in project("import", file, code=2).out
    project("import", file, "--allow-pickle")
    project("sync")
    assert list(project.tree()) == ["models/checkpoints/old.ckpt"]


def test_folders_that_only_comfyui_has(project: Project) -> None:
    project.manifest('[targets.comfy]\nroot = "ui"\n[targets.forge]\nlayout = "forge"\nroot = "forge"\n[models]\n')
    entry = {"name": "v.safetensors", "url": VAE, "directory": "some_pack/inner"}
    vae = {"name": "w.safetensors", "url": VAE, "directory": "vae"}
    project("import", put(project, "pack.json", workflow(node(1, "A", entry), node(2, "VAELoader", vae))))
    project("sync")
    assert sorted(project.tree()) == [
        "forge/models/VAE/w.safetensors", "ui/models/some_pack/inner/v.safetensors", "ui/models/vae/w.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--move", "FILE"], "--move is about a directory"),
        (["--check", "."], "--check is about a list"),
        (["FILE", "."], "is a list, and others are not"),
        (["FILE", "--target", "x"], "no target `x`"),
        (["BAD"], "not a list of models in a form that synapse reads"),
    ],
)
def test_what_does_not_go_together(project: Project, words: list[str], said: str) -> None:
    names = {"FILE": put(project, "wf.json", shared(project)), "BAD": put(project, "bad.json", {})}
    result = project("import", *(names.get(word, word) for word in words), code=2)
    assert said in result.err


def test_two_lists_of_one_model(project: Project) -> None:
    """The first mention counts; another file for the same path is not resolved."""
    vae = {"name": "my_vae.safetensors", "url": VAE, "directory": "vae"}
    other = {**vae, "url": CLIP}
    one = put(project, "one.json", workflow(node(1, "VAELoader", vae)))
    two = put(project, "two.json", workflow(node(1, "VAELoader", other)))
    found = project("import", one, two, "--json").json
    assert [each["entry"]["origin"] for each in found["added"]] == ["one.json (VAELoader 1)"]
    assert "declared already, as `my-vae`" in project("import", two).out


@pytest.mark.parametrize("format", ["aria2", "comfy-lock", "urls"])
def test_an_export_is_a_list_that_an_import_reads(project: Project, format: str) -> None:
    """The same files by digest; formats with paths lead to the same tree."""
    project.manifest(
        f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'
        f'vae = {{ source = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", filename = "own.safetensors" }}\n'
    )
    project("sync")
    file = put(project, "exported.txt", project("export", format).out.encode())
    other = replace(project, path=project.path.parent / "other")
    other.path.mkdir()
    other("import", file)
    other("sync")
    assert sorted(other.tree().values()) == sorted(project.tree().values())
    if format != "urls":
        assert other.tree() == project.tree()

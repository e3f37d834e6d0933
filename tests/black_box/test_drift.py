"""The state of locked files at their sites: `lock --check --remote`, and files with a single origin."""

from __future__ import annotations

from dataclasses import replace

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes

PORTRAIT = f'portrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n'


def lock(project: Project, models: str) -> None:
    project.manifest("[models]\n" + models)
    project("lock")
    assert project("lock", "--check", "--remote").code == 0, "nothing has changed yet"
    project.hub.clear_log()


def findings(project: Project, *, code: int = 8) -> list[tuple[str, str]]:
    before = project.lock_text
    value = project("lock", "--check", "--remote", "--json", code=code).json
    assert project.lock_text == before and not project.tree()
    return [(each["model"], each["kind"]) for each in value["findings"]]


def test_each_change_at_civitai_is_a_finding(project: Project) -> None:
    eyes = f'eyes = "civitai:{catalogue.EYES}"\n'
    lock(project, PORTRAIT + eyes + f'detail = "civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V1}"\n')
    models = project.hub.civitai.models
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, safetensors_bytes("corrected", size=5000))
    models[catalogue.EYES] = replace(models[catalogue.EYES], name="Other eyes", relicense=False)
    del models[catalogue.DETAIL]
    assert findings(project) == [
        ("detail", "gone"), ("eyes", "relicensed"), ("eyes", "renamed"), ("portrait", "bytes"),
    ]  # fmt: skip
    assert not [seen for seen in project.hub.requests() if "download" in seen.path], "nothing is downloaded"
    shown = project("lock", "--check", "--remote", code=8).out
    assert "! portrait  bytes: `portrait_v1.safetensors` has other bytes now" in shown


def test_a_repository_that_is_closed_now(project: Project) -> None:
    lock(project, f'vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n')
    project.hub.huggingface.repos[catalogue.VAE_REPO].gated = "manual"
    assert findings(project) == [("vae", "reported")]


def test_a_plain_address_by_its_length_alone(project: Project) -> None:
    project.hub.files.put("a.safetensors", safetensors_bytes("a", size=3000))
    lock(project, f'a = "{project.hub.files.url}/a.safetensors"\n')
    project.hub.files.put("a.safetensors", safetensors_bytes("b", size=4000))
    assert findings(project) == [("a", "bytes")]
    assert sum(len(seen.path) for seen in project.hub.requests()) < 400, "one request for a length, no download"
    project.hub.files.remove("a.safetensors")
    assert findings(project) == [("a", "gone")]


def test_a_site_out_of_reach_is_no_change(project: Project, impatient: None) -> None:
    lock(project, PORTRAIT)
    project.hub.faults.add("/api/v1", Fault(status=503))
    assert findings(project, code=5) == [("portrait", "unknown")]


def test_a_single_origin_is_named_offline(project: Project) -> None:
    address = f"{project.hub.files.url}/{catalogue.PLAIN_LORA}"
    project.manifest(
        f'[models]\n{PORTRAIT}[models.grain]\nsource = "{address}"\nmirrors = ["hf://a/b/c.safetensors"]\n'
    )
    project("lock")
    project.hub.clear_log()
    shown = project("lock", "--check", "--min-places", "2", "--offline", code=8)
    assert shown.out == "  ! portrait  origins: 1 origin (civitai) for `portrait_v1.safetensors`\n"
    assert "synapse lock --heal" in shown.err and project.hub.requests() == []
    assert project("lock", "--check", "--min-places", "1").code == 0


@pytest.mark.parametrize(
    "words",
    [("--remote",), ("--min-places", "2"), ("--check", "--remote", "--offline"), ("--check", "--min-places", "0")],
)
def test_options_that_make_no_sense(project: Project, words: tuple[str, ...]) -> None:
    project.manifest("[models]\n" + PORTRAIT)
    assert project("lock", *words, code=2).out == ""

"""Variants: the lock pins each of them, and a machine places the one that it prefers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo import catalogue

Prefer = Callable[[str], None]
VAE = f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
MANIFEST = f"""
[models.face]
source = "civitai:{catalogue.PORTRAIT}"

[models.face.variants.small]
source = "civitai:{catalogue.EYES}"

[models.face.variants.vae]
source = "{VAE}"
"""


def files(project: Project) -> list[str]:
    found = (project.path / "models").rglob("*")
    return sorted(path.name for path in found if path.is_file() and ".synapse" not in path.parts)


@pytest.fixture
def prefer(monkeypatch: pytest.MonkeyPatch) -> Prefer:
    return lambda words: monkeypatch.setenv("SYNAPSE_VARIANT", words)


def test_every_variant_is_locked_and_one_is_placed(project: Project, prefer: Prefer) -> None:
    project.manifest(MANIFEST)
    project("lock")
    text = project.lock_text
    for name in ("face", "face@small", "face@vae"):
        assert f'name = "{name}"' in text
    project("lock", "--check")
    project("sync")
    assert files(project) == ["portrait_v1.safetensors"]
    assert "in sync: 1 file" in project("sync").out
    prefer("unknown, vae,small")
    assert "no longer wanted" in project("status", code=None).out
    project("sync")
    assert files(project) == ["portrait_vae.safetensors"]
    assert "in sync: 1 file" in project("sync").out
    assert project.lock_text == text
    prefer("small")
    project("sync", "--frozen")
    assert len(files(project)) == 1 and files(project) != ["portrait_vae.safetensors"]
    prefer("")
    project("sync", "--offline")  # its bytes are in the store still
    assert files(project) == ["portrait_v1.safetensors"]


def test_the_settings_prefer_one_and_the_variable_goes_first(project: Project, prefer: Prefer) -> None:
    settings = Path(os.environ["SYNAPSE_CONFIG"])
    settings.write_text('[host]\nprefer = ["small", "vae"]\n', "utf-8")
    project.manifest(MANIFEST)
    project("sync", "--target", "default")
    small = files(project)
    assert len(small) == 1 and small != ["portrait_v1.safetensors"]
    prefer("vae")
    project("sync")
    assert files(project) == ["portrait_vae.safetensors"]
    settings.write_text('[host]\nprefers = ["small"]\n', "utf-8")
    assert "host: unknown key `prefers`" in project("sync", code=2).err


def test_variants_of_one_file_name_are_in_nobodys_way(project: Project) -> None:
    project.manifest(
        MANIFEST.replace("[models.face]", '[models.face]\nfilename = "face.safetensors"\ntype = "lora"', 1)
    )
    project("sync")
    assert files(project) == ["face.safetensors"]
    project("add", f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", "--name", "other")
    (project.path / "urls.txt").write_text(f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors\n", "utf-8")
    assert "error" not in project("import", "urls.txt").err
    project("sync")
    assert files(project) == ["face.safetensors", "portrait_vae.safetensors"]


def test_a_model_is_removed_with_its_variants(project: Project) -> None:
    project.manifest(f'{MANIFEST}\n[models.eyes]\nsource = "civitai:{catalogue.EYES}"\n')
    project("lock")
    project("remove", "face")
    assert "face" not in (project.path / "synapse.toml").read_text("utf-8")
    assert "face" not in project.lock_text and "eyes" in project.lock_text


def test_an_upgrade_of_a_model_moves_its_variants_too(project: Project) -> None:
    project.manifest(MANIFEST)
    project("lock")
    assert project("lock", "--upgrade-model", "face").code == 0
    assert project("outdated").code == 0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[models.face.variants.8bit]\nsource = 'civitai:1'", "begins with a letter"),
        ("[models.face.variants.fp8]\n", "it changes nothing"),
        ("[models.face.variants.fp8]\nfiel = 1", "models.face.variants.fp8.fiel: unknown key"),
        ("versions = [1, 2]\n[models.face.variants.fp8]\nsource = 'civitai:1'", "not both"),
        ("[models.face.variants.fp8]\nsource = 'nonsense'", "models.face.variants.fp8.source"),
        ("variants = 1", "models.face.variants: expected a table"),
    ],
)
def test_a_mistake_in_a_variant_names_its_line(project: Project, lines: str, words: str) -> None:
    project.manifest(f'[models.face]\nsource = "civitai:{catalogue.PORTRAIT}"\n{lines}\n')
    refused = project("lock", code=2)
    assert words in refused.err and "synapse.toml:" in refused.err


def test_a_variant_of_other_machines_is_declared_all_the_same(project: Project) -> None:
    project.manifest(MANIFEST)
    project("sync")
    (project.path / "urls.txt").write_text(f"{VAE}\n", "utf-8")
    found = project("import", "urls.txt", "--json").json
    assert found["added"] == [] and [each["model"] for each in found["known"]] == ["face"]
    project("import", "--check", "urls.txt", code=8)  # it is not on this machine
    listed = project("list", "--json").json
    assert [each["name"] for each in listed["models"]] == ["face"]
    assert listed["elsewhere"] == ["face@small", "face@vae"]
    assert "face@vae  locked for machines that prefer it" in project("list").out

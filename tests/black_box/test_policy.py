"""`[policy]`: what lock, add, check, status and sync do with models that break it, and `synapse licenses`."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess

import pytest
from world import Project

from synapse_sync.demo import catalogue

TWO = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\neyes = "civitai:{catalogue.EYES}"\n'
SMALL = '[policy]\nmax-size = "1kB"\n'


def test_lock_names_every_offender_once_and_writes_nothing(project: Project) -> None:
    project.manifest(SMALL + TWO)
    refused = project("lock", code=2)
    assert "[policy] `max-size` is 1.0 kB" in refused.err
    assert "portrait" in refused.err and "eyes" in refused.err
    assert not (project.path / "synapse.lock").exists()


def test_a_rule_that_came_later_stops_lock_check_and_sync(project: Project) -> None:
    project.manifest(TWO)
    project("lock")
    project("sync", "--only", "eyes")
    placed = sorted(path for path in (project.path / "models").rglob("*") if path.is_file())
    assert placed
    project.manifest(SMALL + TWO)
    for words in (("lock",), ("lock", "--check"), ("sync",), ("sync", "--frozen"), ("sync", "--locked")):
        assert "[policy] `max-size`" in project(*words, code=2).err
    assert "sync will refuse this: [policy] `max-size`" in project("status", code=None).err
    assert sorted(path for path in (project.path / "models").rglob("*") if path.is_file()) == placed


def test_an_exempt_model_and_a_rule_that_all_follow(project: Project) -> None:
    project.manifest(f'[policy]\nmax-size = "1kB"\nexempt = ["portrait", "eyes"]\n{TWO}')
    project("sync")
    project.manifest(f'[policy]\nformats = ["safetensors"]\nhosts = ["civitai.com"]\n{TWO}')
    assert "in sync" in project("sync").out


def test_add_declares_nothing_that_the_rules_refuse(project: Project) -> None:
    before = f'[policy]\nhosts = ["huggingface.co"]\n\n[models]\nvae = "hf://{catalogue.VAE_REPO}"\n'
    project.manifest(before)
    project("lock")
    refused = project("add", f"civitai:{catalogue.EYES}", code=2)
    assert "[policy] `hosts` does not allow civitai.com" in refused.err
    assert (project.path / "synapse.toml").read_text("utf-8") == before


def test_licenses_in_every_format(project: Project) -> None:
    project.manifest(f'{TWO}vae = "hf://{catalogue.VAE_REPO}"\n')
    project("lock")
    values = {model["name"]: model for model in project("licenses", "--json").json["models"]}
    assert values["vae"]["licence"] == "apache-2.0" and values["vae"]["commercial_use"] is True
    assert values["vae"]["seen"] is None
    assert project("licenses", "--format", "json").json["models"] == list(values.values())
    assert "apache-2.0" in project("licenses").out
    rows = list(csv.DictReader(io.StringIO(project("licenses", "--format", "csv").out)))
    assert [row["name"] for row in rows] == ["eyes", "portrait", "vae"]
    assert project("licenses", "--format", "markdown").out.count("\n") == 5
    assert "licence: apache-2.0" in project("licenses", "--format", "notice").out


@pytest.mark.skipif(shutil.which("git") is None, reason="the test runs git, which is not installed")
def test_the_day_is_that_of_the_commit_that_first_has_the_terms(project: Project) -> None:
    def commit(day: str) -> None:
        who = {f"GIT_{w}_{k}": "x@example.org" for w in ("AUTHOR", "COMMITTER") for k in ("NAME", "EMAIL")}
        when = {"GIT_COMMITTER_DATE": f"{day}T12:00:00Z", "GIT_AUTHOR_DATE": f"{day}T12:00:00Z"}
        for words in (["add", "-A"], ["commit", "-q", "-m", "x"]):
            subprocess.run(["git", "-C", str(project.path), *words], check=True, env=os.environ | who | when)

    subprocess.run(["git", "init", "-q", str(project.path)], check=True)
    project.manifest(f'[models]\nvae = "hf://{catalogue.VAE_REPO}"\n')
    project("lock")
    commit("2026-01-10")
    project.manifest(f'{TWO}vae = "hf://{catalogue.VAE_REPO}"\n')
    project("lock")
    commit("2026-02-20")
    text = project.lock_text
    (project.path / "synapse.lock").write_text(text.replace('license = "apache-2.0"', 'license = "mit"'), "utf-8")
    days = {model["name"]: model["seen"] for model in project("licenses", "--json").json["models"]}
    assert days == {"portrait": "2026-02-20", "eyes": "2026-02-20", "vae": None}
    (project.path / "synapse.lock").write_text(text, "utf-8")
    days = {model["name"]: model["seen"] for model in project("licenses", "--json").json["models"]}
    assert days["vae"] == "2026-01-10"

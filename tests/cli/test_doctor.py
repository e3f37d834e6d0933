"""The doctor: all is well where a sync works, and each fault is found before it, with a mend."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from stand_ins import placing_by, refusing
from world import Project, costing, opened

from synapse_sync.cli.commands import VERBS, cli
from synapse_sync.cli.options import EnvironmentOption
from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.engine import doctor
from synapse_sync.store import links

MANIFEST = f"""
[targets.comfy]
layout = "comfyui"
root = "ComfyUI"
[models]
portrait = "civitai:{catalogue.PORTRAIT}"
portrait-vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
"""


@pytest.fixture
def studio(project: Project) -> Project:
    project.manifest(MANIFEST)
    project("sync")
    return project


def findings(project: Project, *words: str, code: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project("doctor", "--json", *words, code=code).json["findings"]
    return found


def bad(found: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The topic and the state of everything that is to be mended; each must say how."""
    for each in found:
        if each["state"] in ("warning", "fault"):
            assert each["mend"] or each["topic"] == "project", each
            yield each["topic"], each["state"]


def test_a_project_that_works(studio: Project) -> None:
    said = studio("doctor")
    assert said.err == "nothing to mend\n"
    for words in (
        "newcomer (token from the environment variable CIVITAI_API_KEY)", "files are placed by", "answers",
        "all files are in place", "agrees with that of Civitai", "synapse 0.", "Python 3.",
    ):  # fmt: skip
        assert words in said.out, words
    assert not re.search(r"^(warning|fault)", said.out, re.MULTILINE)
    assert studio.hub.civitai_token not in said.out


def test_it_changes_nothing_and_asks_each_site_once(studio: Project) -> None:
    def files() -> dict[Path, tuple[int, int]]:
        every = (path for top in (studio.path, studio.store) for path in top.rglob("*") if path.is_file())
        return {path: (path.stat().st_size, path.stat().st_ino) for path in every if "locks" not in path.parts}

    before = files()
    studio.hub.clear_log()
    findings(studio)
    assert files() == before
    seen = [(request.origin, request.method) for request in studio.hub.requests()]
    assert sorted(seen) == sorted(set(seen)), "one HEAD a site, and one question about each token"
    assert ("civitai", "GET") in seen and ("github", "GET") not in seen, "without a token nobody is asked about it"


def test_offline_opens_no_connection(studio: Project) -> None:
    studio.hub.clear_log()
    assert list(bad(findings(studio, "--offline"))) == []
    os.environ["SYNAPSE_OFFLINE"] = "1"
    with opened("socket.connect") as connections:
        findings(studio)
    assert studio.hub.requests() == [] and connections == []


def test_without_a_project(project: Project) -> None:
    found = findings(project)
    assert list(bad(found)) == []
    assert any("only this machine" in each["text"] for each in found)
    assert list(project.path.iterdir()) == []


# -- faults -----------------------------------------------------------------------------------------


def test_a_refused_token(studio: Project) -> None:
    os.environ["CIVITAI_API_KEY"] = "wrong"
    found = findings(studio, code=3)
    assert list(bad(found)) == [("token", "fault")]
    said = studio("doctor", code=3).out
    assert "the environment variable CIVITAI_API_KEY is refused" in said
    assert "wrong" not in said.replace("it is wrong or expired", "")


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop=True), Fault(status=451)])
def test_a_site_that_does_not_answer(studio: Project, impatient: None, fault: Fault) -> None:
    studio.hub.faults.add("/", fault)
    found = findings(studio, code=5)
    topics = [each["topic"] for each in found if each["state"] == "fault"]
    assert topics.count("site") == 2, "those of the models; the others are no fault"
    assert [each["state"] for each in found if each["topic"] == "site"].count("note") == 2


def test_a_clock_that_is_wrong(studio: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    late = [0.0]

    class Late(doctor.datetime):  # type: ignore[misc]
        @classmethod
        def now(cls, zone: Any = None) -> Any:
            return super().now(zone) - doctor.timedelta(seconds=late[0])

    monkeypatch.setattr(doctor, "datetime", Late)
    for late[0], state, code in ((3, "ok", 0), (120, "warning", 0), (4000, "fault", 5)):
        (clock,) = (each for each in findings(studio, code=code) if each["topic"] == "clock")
        assert clock["state"] == state
    assert re.match(r"(3,999|4,000|4,001) s behind", clock["text"])


def test_a_target_that_cannot_be_written(studio: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    try_file = links.try_file

    def refuse(directory: Path) -> None:
        if "ComfyUI" in directory.parts:
            raise PermissionError(13, "Permission denied", str(directory))
        try_file(directory)

    monkeypatch.setattr(links, "try_file", refuse)
    assert ("target comfy", "fault") in list(bad(findings(studio, "--offline", code=9)))


def test_a_link_mode_that_is_not_possible(studio: Project) -> None:
    studio.manifest(MANIFEST.replace('layout = "comfyui"', 'layout = "comfyui"\nlink-mode = "hardlink"'))
    links.way_there.cache_clear()
    with placing_by("hardlink", refusing(errno.EOPNOTSUPP)):
        found = [each for each in findings(studio, "--offline", code=9) if each["state"] == "fault"]
    assert [each["topic"] for each in found] == ["target comfy"]
    assert "symlink" in found[0]["mend"]


def test_a_mistake_in_the_manifest_is_a_finding(studio: Project) -> None:
    studio.manifest("[modles]\n")
    (fault,) = (each for each in findings(studio, "--offline", code=2) if each["state"] == "fault")
    assert "modles" in fault["text"] and "models" in fault["mend"]


def test_a_root_that_is_refused(studio: Project) -> None:
    studio.manifest(MANIFEST.replace('"ComfyUI"', '"~"'))
    found = findings(studio, "--offline", code=1)
    assert ("project", "fault") in list(bad(found))


def test_leftovers(studio: Project, tmp_path: Path) -> None:
    (studio.store / "partials").mkdir(exist_ok=True)
    state = '{"size": 100, "etag": null, "last_modified": null, "place": null, "done": [[0, 40]]}'
    (studio.store / "partials" / f"{'a' * 64}.json").write_text(state)
    (studio.store / "quarantine").mkdir(exist_ok=True)
    (studio.store / "quarantine" / "bad").write_bytes(b"x" * 2000)
    found = findings(studio, "--offline")
    assert any("unfinished downloads: 1 (40 B)" in each["text"] for each in found)
    assert list(bad(found)) == [("store", "warning")]


def test_a_variable_that_is_misspelt(studio: Project) -> None:
    os.environ |= {"SYNAPSE_FORZEN": "1", "SYNAPSE_SERVER_NAME": "matrix.example"}
    found = [each for each in findings(studio, "--offline") if each["state"] == "warning"]
    assert [(each["text"].split()[2], each["mend"]) for each in found] == [
        ("SYNAPSE_FORZEN", "did you mean `SYNAPSE_FROZEN`?")
    ]


def test_every_variable_is_known() -> None:
    commands = [cli.get_command(click.Context(cli), verb) for verb in VERBS]
    ours = {str(o.envvar) for c in commands if c for o in c.params if isinstance(o, EnvironmentOption)}
    code = "".join(
        path.read_text("utf-8")
        for path in Path(doctor.__file__).parents[1].rglob("*.py")
        if "demo" not in path.parts
    )
    read = set(re.findall(r'"(SYNAPSE_[A-Z_]*[A-Z])"', code))
    assert ours <= set(doctor.VARIABLES)
    assert read == set(doctor.VARIABLES)


def test_capitals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").touch()
    folded = (tmp_path / "X").exists()
    (tmp_path / "x").unlink()
    assert doctor.folds_case(tmp_path) is folded
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Path, "exists", lambda self: True)
    assert doctor.folds_case(tmp_path)


# -- without a site ---------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["civitai", "civitai.com", "www.civitai.com"])
def test_models_that_would_be_lost(project: Project, word: str) -> None:
    project.manifest(MANIFEST)
    project("lock")
    value = project("doctor", "--without", word, "--json", code=4).json
    states = {model["name"]: (bool(model["lost"]), model["places"]) for model in value["models"]}
    assert states["portrait"] == (True, [])
    assert states["portrait-vae"][0] is False
    said = project("doctor", "--without", word, code=4)
    assert "1 model of 2 would be lost" in said.err
    assert project.hub.requests() != []


def test_the_store_and_mirrors_keep_models(project: Project) -> None:
    mirror = f"{project.hub.files.url}/files/{catalogue.PLAIN_LORA}"
    project.manifest(f'[models.portrait]\nsource = "civitai:{catalogue.PORTRAIT}"\nmirrors = ["{mirror}"]\n')
    project("lock")
    project.hub.clear_log()
    (model,) = project("doctor", "--without", "civitai", "--json").json["models"]
    assert model["places"] == [mirror.split("/")[2]]
    host = model["places"][0]
    assert project("doctor", "--without", host, "--json").json["models"][0]["places"] != []
    assert project.hub.requests() == []
    project.manifest(MANIFEST)
    project("sync")
    assert project("doctor", "--without", "civitai", "--json").json["models"][0]["places"] == ["the store"]


def test_without_needs_a_project(project: Project) -> None:
    assert "synapse init" in project("doctor", "--without", "civitai", code=2).err


def test_it_is_quick(studio: Project) -> None:
    with costing(2):
        findings(studio, "--offline")

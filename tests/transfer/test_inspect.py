from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from workbench import downloads
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import PAGE
from synapse_sync.demo.weights import gguf_bytes, pickle_bytes, safetensors_bytes
from synapse_sync.errors import IntegrityError, RefusedFormat, SynapseError, WrongContent
from synapse_sync.transfer.inspect import inspect_file

RAW_PICKLE = pickle.dumps({"a": list(range(100))}, protocol=2)
GOOD = safetensors_bytes("good")


def look(tmp_path: Path, content: bytes, format: str, *, allow_pickle: bool = False) -> type[SynapseError] | None:
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        inspect_file(path, format=format, name="file", allow_pickle=allow_pickle)
    except SynapseError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("content", "format", "verdict"),
    [
        (GOOD, "safetensors", None),
        (gguf_bytes("good"), "gguf", None),
        (b'{"a": 1}', "config", None),
        (b"some words", "text", None),
        (b"\x08\x07onnx", "onnx", None),
        (PAGE, "safetensors", WrongContent),
        (PAGE, "gguf", WrongContent),
        (PAGE, "pickle", WrongContent),
        (b'{"error": "no"}', "safetensors", WrongContent),
        (b"<?xml version='1.0'?><Error/>", "safetensors", WrongContent),
        (pickle_bytes("x"), "safetensors", RefusedFormat),
        (RAW_PICKLE, "safetensors", RefusedFormat),
        (pickle_bytes("x"), "gguf", RefusedFormat),
        (RAW_PICKLE, "onnx", RefusedFormat),
        (RAW_PICKLE, "other", RefusedFormat),
        (GOOD[:-1], "safetensors", IntegrityError),
        (GOOD + b"\0", "safetensors", IntegrityError),
        (GOOD[:5], "safetensors", IntegrityError),
        (b"", "safetensors", IntegrityError),
        (bytes(4096), "safetensors", IntegrityError),
        (b"\xff" * 4096, "safetensors", IntegrityError),
        (b"not GGUF at all", "gguf", IntegrityError),
        (b"", "gguf", IntegrityError),
    ],
)
def test_the_content_decides(
    tmp_path: Path, content: bytes, format: str, verdict: type[SynapseError] | None
) -> None:
    assert look(tmp_path, content, format) is verdict


def test_a_pickle_that_is_allowed_must_still_be_no_safetensors(tmp_path: Path) -> None:
    assert look(tmp_path, pickle_bytes("x"), "pickle", allow_pickle=True) is None
    assert look(tmp_path, RAW_PICKLE, "other", allow_pickle=True) is None
    assert look(tmp_path, pickle_bytes("x"), "safetensors", allow_pickle=True) is IntegrityError


def offer(project: Project, content: bytes, name: str = "disguised.safetensors") -> str:
    file = File(id=77_001, name=name, content=content, primary=True)
    version = Version(id=77_010, name="1.0", files=(file,))
    project.hub.civitai.add(Model(id=77, name="Disguise", versions=(version,)))
    project.manifest('[models]\nit = "civitai:77"\n')
    return name


def test_a_disguised_pickle_with_the_right_digest_is_refused(project: Project) -> None:
    offer(project, pickle_bytes("evil"))
    assert "calls itself safetensors" in project("sync", code=2).err
    assert project.tree() == {} and project.blobs() == []
    assert len(downloads(project.hub)) == 1
    project("sync", code=2)
    assert len(downloads(project.hub)) == 1, "the bytes are there, they need not come again to be refused"


def test_a_web_page_is_no_model_even_with_the_right_digest(project: Project) -> None:
    offer(project, PAGE * 40)
    assert "not a model" in project("sync", code=6).err
    assert project.tree() == {} and project.blobs() == []


def test_a_pickle_is_refused_before_it_is_downloaded(project: Project) -> None:
    project.manifest(f'[models]\nold = "civitai:{catalogue.PICKLE}"\n')
    assert "allow-pickle" in project("lock", code=2).err
    assert downloads(project.hub) == []


def test_a_pickle_under_any_name_needs_the_word(project: Project) -> None:
    name = offer(project, RAW_PICKLE, "net.onnx")
    assert "is a pickle" in project("sync", code=2).err
    assert project.tree() == {}
    project.manifest('[models.it]\nsource = "civitai:77"\nallow-pickle = true\n')
    project("sync")
    assert project.tree() == {f"models/checkpoints/{name}": RAW_PICKLE}

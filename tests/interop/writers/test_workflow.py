"""Workflows of ComfyUI that are completed with the origins of locked files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.names import SafePath
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError
from synapse_sync.interop.writers.values import Address, Export, ExportedFile, ExportedTarget
from synapse_sync.interop.writers.workflow import write

SHA = "ab" * 32
PLACE = Reference.parse("https://example.com/a.safetensors")


def file(path: str, sha256: str = SHA, kind: str = "lora") -> ExportedFile:
    artifact = Artifact(filename=path.rpartition("/")[2], size=1, sha256=sha256, url=PLACE)
    model = LockedModel(name="a", requirement="", reference=PLACE, card=ModelCard(), artifacts=(artifact,))
    return ExportedFile(
        target="t", path=SafePath(path), model=model, kind=kind, artifact=artifact,
        addresses=(Address("https://example.com/a.safetensors"),),
    )  # fmt: skip


EXPORT = Export(
    name=None,
    targets=(ExportedTarget(name="t", layout="comfyui", root="."),),
    files=(file("models/loras/style/a.safetensors"), file("models/vae/b.safetensors", "cd" * 32, "vae")),
    comfyui={"lora": "loras", "vae": "vae"},
)
ENTRY = {"url": "https://example.com/a.safetensors", "hash": SHA, "hash_type": "SHA256", "directory": "loras"}


def completed(workflow: object, export: Export = EXPORT) -> tuple[Any, tuple[str, ...]]:
    written = write(replace(export, given=json.dumps(workflow)))
    return json.loads(written.text), written.notes


def test_entries_are_filled_and_added_also_in_subgraphs() -> None:
    node = {"type": "X", "properties": {"models": [{"name": "a.safetensors", "url": "old", "mine": 1}]}}
    widget = {"type": "LoraLoader", "widgets_values": ["style\\a.safetensors", 1.0, None]}
    table = {"type": "Power", "widgets_values": [{"lora": "style/a.safetensors"}], "properties": {"other": 1}}
    found, notes = completed(
        {"nodes": [node, {"type": "Note"}], "definitions": {"subgraphs": [{"nodes": [widget, table]}]}, "x": [1.5]}
    )
    assert notes == ()
    inside = found["definitions"]["subgraphs"][0]["nodes"]
    named = {"name": "a.safetensors", **ENTRY}
    assert found["nodes"] == [
        {"type": "X", "properties": {"models": [{**named, "mine": 1}]}}, {"type": "Note"}
    ]  # fmt: skip
    assert inside[0] == {**widget, "properties": {"models": [named]}}
    assert inside[1]["properties"] == {"other": 1, "models": [named]}
    again, _ = completed(found)
    assert again == found


def test_a_hash_goes_before_a_name() -> None:
    entry = {"name": "b.safetensors", "hash": SHA.upper(), "hash_type": "sha256"}
    found, _ = completed({"nodes": [{"properties": {"models": [entry]}}]})
    assert found["nodes"][0]["properties"]["models"] == [{**entry, **ENTRY}]


def test_a_name_of_two_files_is_left_and_reported() -> None:
    two = replace(EXPORT, files=(*EXPORT.files, file("models/loras/other/a.safetensors", "ef" * 32)))
    workflow = {"nodes": [{"widgets_values": ["a.safetensors"]}]}
    found, notes = completed(workflow, two)
    assert found == workflow and "`a.safetensors`" in notes[1]
    found, notes = completed({"nodes": [{"widgets_values": ["other/a.safetensors"]}]}, two)
    assert notes == () and found["nodes"][0]["properties"]["models"][0]["hash"] == "ef" * 32


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"1": {"class_type": "X"}}', "[" * 100_000, '{"nodes": 1}', '{"nodes": [' + "9" * 5000 + "]}"],
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        write(replace(EXPORT, given=text))


@pytest.mark.parametrize(
    "node", [None, 1, {"properties": []}, {"properties": {"models": {}}}, {"widgets_values": {}}]
)
def test_odd_nodes_do_no_harm(node: object) -> None:
    found, _ = completed({"nodes": [node], "definitions": {"subgraphs": [1, {"nodes": 3}]}})
    assert found["nodes"] == [node]

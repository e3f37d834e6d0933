"""Genuine lists, made by others: ComfyUI's own templates and the index of ComfyUI-Manager, through every reader.

`make lists-real` installs both packages and runs this file; only their files are used, they are never imported.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.core.artifact import Artifact, ModelCard, format_of, type_for
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.edit import add_models
from synapse_sync.core.manifest.values import Requirement, Target
from synapse_sync.core.reference import Reference
from synapse_sync.engine.list_entries import ListWishes, drafts, source_name
from synapse_sync.errors import InputError
from synapse_sync.interop.readers import Reading, read_file
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import read_manifest

COMFY = Target(name="comfy", layout="comfyui", root="ui")
#: The manager's words for folders, as its `get_model_dir` reads them.
DEFAULTS = {
    "upscale": "upscale_models",
    "clip": "text_encoders",
    "VAE": "vae",
    "diffusion_model": "diffusion_models",
}


def directory_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed; `make lists-real` installs it")
    return Path(spec.submodule_search_locations[0])


def entries_in(value: Any) -> Iterator[dict[str, str]]:
    """Every entry of every `models` in a document, wherever it is: another way to look than the reader's."""
    if isinstance(value, dict):
        models = value.get("models")
        if isinstance(models, list) and all(isinstance(each, dict) and "url" in each for each in models):
            yield from models
        for inner in value.values():
            yield from entries_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from entries_in(inner)


def requirements(reading: Reading) -> list[Requirement]:
    """The models of a list as requirements of a manifest that was written and read again."""
    found = drafts([(reading, model) for model in reading.models], [COMFY], (), ListWishes())
    assert len(found) == len(reading.models), "none is lost"
    text = '[targets.comfy]\nroot = "ui"\n[models]\n'
    manifest = read_manifest(add_models(text, [(draft.name, draft.value) for draft in found]))
    by_name = {model.name: model for model in manifest.models}
    return [by_name[draft.name] for draft in found]


def path_of(requirement: Requirement) -> str:
    """The path at which a sync places the file of a requirement."""
    name = source_name(requirement.reference) or "from-the-site.safetensors"
    file = Artifact(filename=name, size=1, sha256="0" * 64, url=requirement.reference, format=format_of(name))
    locked = LockedModel(
        name=requirement.name, requirement="", reference=requirement.reference,
        card=ModelCard(type=requirement.type), artifacts=(file,),
    )  # fmt: skip
    (placement,) = arrange([requirement], {requirement.name: locked}, [COMFY]).placements
    return placement.path.text


def test_every_model_of_every_template_becomes_a_requirement() -> None:
    workflows = entries = models = 0
    for path in sorted(directory_of("comfyui_workflow_templates_json").rglob("*.json")):
        listed = list(entries_in(json.loads(path.read_text("utf-8"))))
        workflows, entries = workflows + 1, entries + len(listed)
        try:
            reading = read_file(path.name, path.read_bytes())
        except InputError:
            assert not listed, f"{path.name} lists models and cannot be read"
            continue
        wanted = {
            (f"models/{each['directory']}/{each['name']}", str(Reference.parse(each["url"]))) for each in listed
        }
        found = requirements(reading)
        assert {(path_of(each), str(each.reference)) for each in found} == wanted, path.name
        promised = {each["hash"] for each in listed if each.get("hash_type") == "SHA256"}
        assert {each.sha256 for each in found} - {None} == promised
        assert [model.problem for model in reading.models] == [None] * len(found)
        models += len(found)
    assert (workflows, entries, models) == (660, 1_204, 999)


def test_every_entry_of_the_manager_becomes_a_requirement() -> None:
    path = directory_of("comfyui_manager") / "model-list.json"
    entries = json.loads(path.read_text("utf-8"))["models"]
    found = requirements(read_file(path.name, path.read_bytes()))
    wanted: set[tuple[str, str]] = set()
    for each in entries:
        folder = DEFAULTS[each["type"]] if each["save_path"] == "default" else each["save_path"]
        repository = each["filename"] == "<huggingface>"
        reference = Reference.parse(f"hf://{each['url']}" if repository else each["url"])
        wanted.add((f"models/{folder}" if repository else f"models/{folder}/{each['filename']}", str(reference)))
    assert (len(entries), len(wanted)) == (509, 507), "two entries are there twice, word by word"
    paths = {(path_of(each).rpartition("/")[0] if each.filename is None and not each.reference.file
              and each.reference.source == "huggingface" else path_of(each), str(each.reference))
             for each in found}  # fmt: skip
    assert paths == wanted and len(found) == len(wanted)
    assert all(each.type is not None or each.folder is not None for each in found)
    assert all(type_for(each.type or "") in (None, each.type) for each in found)

"""The readers of other programs' files: one row a format, chosen by the content of a file. Pure.

Another format is one module, or a function of one, and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from synapse_sync.core.artifact import stem_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.image_meta import Resource
from synapse_sync.errors import InputError
from synapse_sync.interop.readers.comfy_build import read_comfy_build
from synapse_sync.interop.readers.comfy_lock import read_comfy_lock
from synapse_sync.interop.readers.comfyfetch import read_comfyfetch
from synapse_sync.interop.readers.document import Document, document, read_json
from synapse_sync.interop.readers.kulai import read_kula
from synapse_sync.interop.readers.lines import read_addresses, read_aria2
from synapse_sync.interop.readers.listed import Listed, each_once, listed
from synapse_sync.interop.readers.manager_list import read_manager_list
from synapse_sync.interop.readers.model_sidecars import read_civitai_info, read_lora_manager, read_stability_matrix
from synapse_sync.interop.readers.parameters import read_parameters
from synapse_sync.interop.readers.workflow import read_api, read_editor


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format: its name and title, the forms of a file that may be in it, and its reader.

    `read` accepts the document's value, or its lines, and returns None for a document of another format.
    """

    name: str
    title: str
    kinds: frozenset[str]
    read: Callable[[Any], Iterable[Listed] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The models of one file, each once; `file` is its name, `format` the name of its format."""

    file: str
    format: str
    title: str
    models: tuple[Listed, ...]


_JSON, _YAML, _TOML, _LINES = (frozenset({kind}) for kind in ("json", "yaml", "toml", "lines"))

FORMATS: Mapping[str, Format] = {
    row.name: row
    for row in (
        Format(name="workflow", title="a workflow of ComfyUI", kinds=_JSON, read=read_editor),
        Format(name="manager-list", title="a list of ComfyUI-Manager", kinds=_JSON, read=read_manager_list),
        Format(name="comfy-build", title="a build of comfy-cli", kinds=_JSON | _YAML, read=read_comfy_build),
        Format(name="comfyfetch", title="a manifest of comfyfetch", kinds=_JSON | _YAML, read=read_comfyfetch),
        Format(name="comfy-lock", title="a lockfile of ComfyUI", kinds=_JSON | _YAML, read=read_comfy_lock),
        Format(name="kulai", title="a file of kulai", kinds=_TOML, read=read_kula),
        Format(name="cm-info", title="a sidecar of StabilityMatrix", kinds=_JSON, read=read_stability_matrix),
        Format(name="lora-manager", title="a sidecar of LoRA-Manager", kinds=_JSON, read=read_lora_manager),
        Format(name="civitai-info", title="a sidecar of Civitai", kinds=_JSON, read=read_civitai_info),
        Format(name="workflow-api", title="a workflow of ComfyUI's API", kinds=_JSON, read=read_api),
        Format(name="aria2", title="an input file of aria2", kinds=_LINES, read=read_aria2),
        Format(name="addresses", title="a list of addresses", kinds=_LINES, read=read_addresses),
    )
}
#: The name of the format of images, which have texts in other formats.
IMAGE = "image"


def read_file(name: str, data: bytes) -> Reading:
    """Read the models that a file lists, by its content; `name` is that of the file, without directories.

    Raises `InputError` for a damaged file, and for one in no known format.
    """
    found = document(name, data)
    if found.kind == "image":
        models = tuple(_of_image(found.texts))
        return Reading(file=name, format=IMAGE, title="an image", models=each_once(models))
    row, listing = _read(found)
    return Reading(file=name, format=row.name, title=row.title, models=each_once(listing))


def _read(found: Document) -> tuple[Format, Iterable[Listed]]:
    value = list(found.lines) if found.kind == "lines" else found.value
    for row in FORMATS.values():
        if found.kind in row.kinds and (models := row.read(value)) is not None:
            return row, models
    raise InputError("it is not a list of models in a form that synapse reads")


def _of_image(texts: Mapping[str, str]) -> Iterator[Listed]:
    """The models of an image: those of its workflow, with the hashes of its settings, then the others of these."""
    drawn = list(_of_workflow(texts))
    resources = {_name(resource): resource for resource in read_parameters(texts.get("parameters", ""))}
    for model in drawn:
        resource = resources.pop(stem_of(model.filename or model.name).casefold(), None)
        yield model if resource is None or model.references else _with(model, resource)
    yield from (of_resource(resource) for resource in resources.values())


def _of_workflow(texts: Mapping[str, str]) -> Iterator[Listed]:
    """The models of an embedded workflow; the editor's form has more than that of the API."""
    for key, read in (("workflow", read_editor), ("prompt", read_api)):
        if key in texts and (models := list(read(read_json(texts[key])) or ())):
            yield from models
            return


def _name(resource: Resource) -> object:
    return stem_of(resource.name).casefold() if resource.name else resource


def _with(model: Listed, resource: Resource) -> Listed:
    return replace(model, resource=resource, problem=None)


def of_resource(resource: Resource) -> Listed:
    """A model that the settings of an image name; a site has to be asked for one without a version's number."""
    named = f"{resource.kind} {resource.hash or resource.version_id}".strip()
    known = resource.reference is not None
    found = listed(resource.name or named, type=resource.type, resource=resource if known else None, at="settings")
    return found if known else replace(found, problem="only its name is known")

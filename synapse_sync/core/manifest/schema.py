"""The JSON Schema of `synapse.toml`, with a description of every key: for editors and for the documentation.

No command loads this file. `synapse.schema.json` is what `manifest_schema` returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from synapse_sync.core.manifest.shape import ManifestTable

_PREVIEWS = "true downloads a cover image beside the weights, a number downloads that many images."
_RATING = "The most explicit rating of images that are downloaded."
_WIDTH = "The width of the images in pixels, where their host can make smaller ones."
_QUALITY = "The quality of the images in percent, where their host can make smaller ones."
_PREFER = "The file to use where a version has several that fit; it refuses none."
_SIDECARS = "true writes the files about a model that the UI of a target reads; a list selects which."
_NEWER = "Resolve as of this day (with all its hours) or this time, in UTC."
_INCLUDE = "Patterns of the repository's files to use, such as `*.safetensors`."
_EXCLUDE = "Patterns of the repository's files to leave out."
_FILENAME = "The name of the file in every tree. A rename upstream then moves no file."
_MIRRORS = "Further locations of the same bytes, tried in their order when an earlier one fails."
_SHA256 = "The SHA-256 that the file must have. Other bytes are refused."

#: The description of every key, by the name of its table in the schema.
KEYS: Mapping[str, Mapping[str, str]] = {
    "ManifestTable": {
        "include": "Other manifests whose models are added: files of the project, or addresses with `@sha256:…`.",
        "workspace": "Defaults for all models.",
        "policy": "Rules that every locked model has to follow; `lock`, `add` and `sync` refuse others.",
        "targets": "The directory trees to update, by name. Without one: this directory, as a ComfyUI.",
        "models": "The wanted models, by name: a reference, or a table with the keys of a model.",
    },
    "WorkspaceTable": {
        "name": "A name of the project, for people.",
        "previews": _PREVIEWS,
        "preview-rating": _RATING,
        "preview-width": _WIDTH,
        "preview-quality": _QUALITY,
        "prefer": _PREFER,
        "allow-pickle": "Accept formats that can run code when they are loaded.",
        "exclude-newer": _NEWER,
        "sidecars": _SIDECARS,
        "allow-dangerous": "SHA-256 digests of files that are accepted although the site calls them dangerous.",
        "reproducible": "Keep everything of this machine out of the trees and their `.synapse`, for images.",
        "remote": "Remotes that are asked for files before the sites; they need the consent of each user.",
    },
    "PolicyTable": {
        "formats": "The allowed formats of weights.",
        "commercial-use": "The licence must permit commercial use; an unknown licence permits nothing.",
        "nsfw": "false refuses every rating above pg13, and a model of Civitai without a rating.",
        "max-size": "The most bytes of all files of one model: a number, or a text such as `20GB`.",
        "hosts": "The hosts that files may come from; `*.example.org` stands for all hosts below it.",
        "exempt": "Names of models that need not follow the rules.",
    },
    "TargetTable": {
        "layout": "The UI whose folders the tree has.",
        "root": "The UI's own directory; a table has one for each system.",
        "groups": "Place only the models of these groups.",
        "link-mode": "How files get into the tree; `auto` is the first that works of clone to copy.",
        "sidecars": _SIDECARS,
        "folders": "Folders below the root by type, before those of the layout.",
        "types": "Place only models of these types.",
        "exclude-types": "Place no models of these types.",
    },
    "RootTable": {
        "default": "The root where no other key applies.",
        "linux": "The root on Linux.",
        "macos": "The root on macOS.",
        "windows": "The root on Windows.",
        "env": "An environment variable that has the root. It goes before all other keys.",
    },
    "ModelTable": {
        "source": "The reference: `civitai:MODEL@VERSION`, `hf://owner/repo@revision/file`, a page, any URL …",
        "versions": "Several versions of one model of Civitai, by their ids.",
        "type": "The type, which decides the folder. Needed only where neither the site nor the file says it.",
        "file": "The file of the version. A version without such a file is an error.",
        "prefer": _PREFER,
        "include": _INCLUDE,
        "exclude": _EXCLUDE,
        "extract": "Patterns of the files of an archive to use.",
        "groups": "Groups of the model, for targets and for `--group`.",
        "targets": "Place the model only in these targets.",
        "policy": "Where an upgrade may move: to no other version, to versions of the same base model, or to any.",
        "ignore": "Ids of versions that no upgrade moves to.",
        "folder": "The folder below the root, instead of that of the type; a table has one for each target.",
        "subfolder": "A folder below the folder of the type.",
        "filename": _FILENAME,
        "flatten": "Drop the folders that the files have in their repository.",
        "previews": _PREVIEWS,
        "preview-rating": _RATING,
        "preview-width": _WIDTH,
        "preview-quality": _QUALITY,
        "sidecars": _SIDECARS,
        "cover": "The address of your own cover image.",
        "mirrors": _MIRRORS,
        "sha256": _SHA256,
        "allow-pickle": "Accept formats that can run code when they are loaded.",
        "allow-code": "Accept code: scripts, libraries, notebooks.",
        "exclude-newer": _NEWER,
        "optional": "The failure of this model is a warning; the others are locked and placed.",
        "variants": "Alternatives by name; a machine that prefers one places it instead of the model itself.",
        "origin": "The file of another program that the model was imported from; it has no effect.",
    },
    "VariantTable": {
        "source": "The reference of the variant.",
        "file": "The file of the version.",
        "include": _INCLUDE,
        "exclude": _EXCLUDE,
        "filename": _FILENAME,
        "mirrors": _MIRRORS,
        "sha256": _SHA256,
    },
    "FileTable": {
        "format": "The format: `safetensors`, `gguf`, `onnx`, `pickle` …",
        "precision": "The precision: `fp16`, `bf16`, `fp32`, `fp8` …",
        "size": "The site's word for the size: `pruned` or `full`.",
        "quant": "The quantization: `Q4_K_M` …",
        "name": "A pattern of the file's name, such as `*fp16*`.",
        "type": "The site's word for the file's kind: `Model`, `Pruned Model`, `VAE`, `Training Data` …",
        "id": "The site's id of the file.",
    },
}


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema of `synapse.toml`; shipped as `synapse.schema.json`."""
    schema = msgspec.json.schema(ManifestTable)
    for name, table in schema["$defs"].items():
        for key, said in table.get("properties", {}).items():
            said["description"] = KEYS[name][key]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "synapse.toml", **schema}

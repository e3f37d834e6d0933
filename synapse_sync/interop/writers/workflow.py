"""`workflow`: a workflow of ComfyUI's editor in which the nodes name the origins of their models. Pure.

Where they are written: `models` in the `properties` of a node, also below `definitions.subgraphs`: `name`, `url`,
`hash`, `hash_type`, `directory` (660 official templates of 2026). A node that names one of the locked files in a
widget gets an entry; nothing else in the workflow changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from synapse_sync.errors import InputError
from synapse_sync.interop.writers.values import Export, ExportedFile, Written, in_comfyui

#: How deep a widget's value is looked at: some loaders have a table in a list.
_DEPTH = 4
_HINT = "save it from ComfyUI's editor: the form for the API has no place for origins"


def write(export: Export) -> Written:
    """Complete the given workflow; raises `InputError` if it is not one of the editor."""
    workflow = _read(export.given or "")
    files = _Files(export)
    done = 0
    for node in _nodes(workflow):
        done += _complete(node, files)
    notes = [] if done else ["the workflow names none of the locked files; it is unchanged"]
    notes += [f"several locked files are called `{name}`; left as it is" for name in sorted(files.doubtful)]
    indent = 2 if "\n" in (export.given or "").strip() else None
    separators = None if indent else (",", ":")
    return Written(
        json.dumps(workflow, ensure_ascii=False, indent=indent, separators=separators) + "\n",
        tuple(notes),
        files=done,
    )


class _Files:
    """The locked files by the names under which nodes ask for them; `doubtful` are names of several of them."""

    def __init__(self, export: Export) -> None:
        self.doubtful: set[str] = set()
        self._by_hash: dict[str, tuple[str, ExportedFile]] = {}
        self._by_name: dict[str, dict[str, tuple[str, ExportedFile]]] = {}
        for _, file in export.placed():
            path = in_comfyui(export, file)
            folder = export.comfyui.get(file.kind or "")
            if path is None or folder is None or file.artifact.archive is not None or not file.addresses:
                continue
            found = (folder, file)
            self._by_hash.setdefault(file.artifact.sha256, found)
            inside = path.removeprefix(f"models/{folder}/")
            for name in {inside, path.rpartition("/")[2]}:
                self._by_name.setdefault(name, {})[file.artifact.sha256] = found

    def of(self, name: str, sha256: object = None) -> tuple[str, ExportedFile] | None:
        """The folder and the file that a node means by a name or, where it is known, by its SHA-256."""
        if isinstance(sha256, str) and (found := self._by_hash.get(sha256.lower())) is not None:
            return found
        named = self._by_name.get(name.replace("\\", "/"), {})
        if len(named) > 1:
            self.doubtful.add(name)
        return next(iter(named.values())) if len(named) == 1 else None


def _read(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("the workflow is not JSON, or nested too deeply", hint=_HINT) from None
    if not isinstance(value, dict) or not isinstance(value.get("nodes"), list):
        raise InputError("this is no workflow of ComfyUI's editor: it has no list of nodes", hint=_HINT)
    return value


def _nodes(workflow: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node, of the workflow and of its subgraphs."""
    definitions = workflow.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    for graph in (workflow, *(subgraphs if isinstance(subgraphs, list) else ())):
        nodes = graph.get("nodes") if isinstance(graph, dict) else None
        for node in nodes if isinstance(nodes, list) else ():
            if isinstance(node, dict):
                yield node


def _complete(node: dict[str, Any], files: _Files) -> int:
    """Fill the entries of a node, and add those that its widgets name; returns how many files were found."""
    properties = node.get("properties")
    listed = properties.get("models") if isinstance(properties, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    done = 0
    for entry in entries:
        name = entry.get("name")
        known = entry.get("hash") if str(entry.get("hash_type", "SHA256")).upper() == "SHA256" else None
        if isinstance(name, str) and (found := files.of(name, known)) is not None:
            entry |= _facts(*found, name=name)
            done += 1
    names = {entry.get("name") for entry in entries}
    for text in dict.fromkeys(_texts(node.get("widgets_values"), _DEPTH)):
        name = text.replace("\\", "/").rpartition("/")[2]
        if name in names or (found := files.of(text)) is None:
            continue
        if not isinstance(properties, dict):
            properties = node["properties"] = {}
        if not isinstance(listed, list):
            listed = properties["models"] = []
        listed.append(_facts(*found, name=name))
        names.add(name)
        done += 1
    return done


def _facts(folder: str, file: ExportedFile, *, name: str) -> dict[str, str]:
    return {
        "name": name,
        "url": file.addresses[0].url,
        "hash": file.artifact.sha256,
        "hash_type": "SHA256",
        "directory": folder,
    }


def _texts(value: object, depth: int) -> Iterator[str]:
    """The texts among the values of a node's widgets."""
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner, depth - 1)

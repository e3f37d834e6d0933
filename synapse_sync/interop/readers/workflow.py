"""ComfyUI's workflows, in the form of its editor and in that of its API, as the models that they name. Pure.

The editor writes `models` into the `properties` of a node, also below `definitions.subgraphs`; its schema allows
them at the top, too. Each has `name`, `url` and `directory`, and seldom `hash` with `hash_type`. Older workflows
have the names in widgets alone, mostly with links in notes. Facts: 660 templates of
`comfyui-workflow-templates-json` 0.1.123, and ComfyUI's frontend, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from synapse_sync.core.artifact import stem_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.names import percent_decoded
from synapse_sync.errors import InputError
from synapse_sync.interop.readers.listed import Listed, below_models, label, listed, mappings, text_of
from synapse_sync.interop.readers.loaders import folder_for, is_model_file

T = TypeVar("T")
#: The largest workflows in use have a few thousand nodes.
NODES = 50_000
#: How deep a widget's value may be: rgthree's loaders have a table in a list.
_DEPTH = 4
_LINK = re.compile(r"https?://[^\s<>()\[\]\"'`|\\]{4,2000}")
#: `embedding:NAME` in a prompt; the name has no ending, and perhaps folders.
_EMBEDDING = re.compile(r"\bembedding:([\w\-./\\]{1,200})")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its type, its place in messages, its table, and the texts of its widgets, by their inputs."""

    type: str
    at: str
    table: Mapping[str, Any]
    texts: tuple[tuple[str, str], ...]


def read_editor(value: Any) -> Iterator[Listed] | None:
    """The models of a workflow as the editor saves it; None for any other document."""
    if not isinstance(value, Mapping) or not isinstance(value.get("nodes"), list):
        return None
    return _models([_node(table, "widgets_values") for table in _tables(value)], mappings(value.get("models")))


def read_api(value: Any) -> Iterator[Listed] | None:
    """The models of a workflow as the API accepts it; None for any other document."""
    for tables in (value, *(value.get(key) for key in ("prompt", "output"))) if isinstance(value, Mapping) else ():
        if isinstance(tables, Mapping) and any(_is_api_node(table) for table in tables.values()):
            return _models([_api_node(number, table) for number, table in _bounded(tables.items())], ())
    return None


# -- nodes --------------------------------------------------------------------------------------------


def _tables(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All nodes: those of the workflow, of its subgraphs and of its group nodes."""
    return _bounded(table for owner in _owners(value) for table in mappings(owner.get("nodes")))


def _owners(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield value
    definitions, extra = value.get("definitions"), value.get("extra")
    yield from mappings(definitions.get("subgraphs") if isinstance(definitions, Mapping) else None)
    groups = extra.get("groupNodes") if isinstance(extra, Mapping) else None
    yield from mappings(list(groups.values()) if isinstance(groups, Mapping) else None)


def _bounded(items: Iterable[T]) -> Iterator[T]:
    for number, item in enumerate(items):
        if number >= NODES:
            raise InputError(f"it has more than {NODES:,} nodes")
        yield item


def _node(table: Mapping[str, Any], widgets: str) -> Node:
    kind = label(table.get("type"))
    return Node(kind, _place(kind, table.get("id")), table, tuple(_texts(table.get(widgets))))


def _is_api_node(table: object) -> bool:
    return isinstance(table, Mapping) and isinstance(table.get("class_type"), str)


def _api_node(number: str, table: object) -> Node:
    if not _is_api_node(table):
        return Node("", "", {}, ())
    assert isinstance(table, Mapping)
    kind = label(table.get("class_type"))
    return Node(kind, _place(kind, number), {}, tuple(_texts(table.get("inputs"))))


def _place(kind: str, number: object) -> str:
    """A node in words: `VAELoader 12`."""
    shown = str(number)[:20] if isinstance(number, int | str) else ""
    return label(f"{'subgraph' if _UUID.fullmatch(kind) else kind} {shown}")


def _texts(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts in a widget's value, each with the name of its input."""
    if isinstance(value, str):
        yield name, value
    elif depth < _DEPTH and isinstance(value, list):
        for item in value:
            yield from _texts(item, name, depth + 1)
    elif depth < _DEPTH and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, key, depth + 1)


# -- models -------------------------------------------------------------------------------------------


def _models(nodes: list[Node], top: Iterable[Mapping[str, Any]]) -> Iterator[Listed]:
    """All models that the nodes list, then those that only their widgets and prompts name."""
    paths = _widget_paths(nodes)
    found = [_entry(entry, paths, "the workflow") for entry in top]
    found += [_entry(entry, _widget_paths([node]) | paths, node.at) for node in nodes for entry in _entries(node)]
    names = {name for model in found for name in _names_of(model)}
    links = _links(nodes)
    named = [model for node in nodes for model in _named(node, links) if not _is_in(model, names)]
    placed = {(model.filename or "").casefold() for model in named if model.folder is not None}
    yield from found
    yield from (model for model in named if model.folder is not None or not _is_in(model, placed))


def _names_of(model: Listed) -> tuple[str, str]:
    """A model's file name with and without its ending: prompts name embeddings without."""
    name = (model.filename or model.name).casefold()
    return name, stem_of(name)


def _is_in(model: Listed, names: set[str]) -> bool:
    return (model.filename or model.name).casefold() in names


def _entries(node: Node) -> Iterator[Mapping[str, Any]]:
    properties = node.table.get("properties")
    return mappings(properties.get("models") if isinstance(properties, Mapping) else None)


def _base(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].strip().casefold()


def _widget_paths(nodes: Iterable[Node]) -> dict[str, str]:
    """The files that widgets name, by their names alone: a widget has the folder that its user chose."""
    paths: dict[str, str] = {}
    for node in nodes:
        for _, text in node.texts:
            if is_model_file(text):
                paths.setdefault(_base(text), text)
    return paths


def _entry(entry: Mapping[str, Any], paths: Mapping[str, str], at: str) -> Listed:
    """One of `models`; `paths` are the files of widgets."""
    name = text_of(entry.get("name"))
    is_sha256 = text_of(entry.get("hash_type")).replace("-", "").casefold() in ("sha256", "")
    return listed(
        name,
        locations=[entry.get("url")],
        filename=paths.get(_base(name), name),
        folder=below_models(entry.get("directory")),
        sha256=entry.get("hash") if is_sha256 else None,
        at=at,
    )


def _links(nodes: Iterable[Node]) -> dict[str, str]:
    """The addresses in notes and other texts, by the name of the file that each ends in."""
    found: dict[str, str] = {}
    for node in nodes:
        for _, text in node.texts:
            for match in _LINK.finditer(text) if "://" in text else ():
                found.setdefault(_base(_name_in(match[0])), match[0])
    return found


def _name_in(address: str) -> str:
    try:
        return percent_decoded(urlsplit(address).path)
    except ValueError:
        return ""


def _named(node: Node, links: Mapping[str, str]) -> Iterator[Listed]:
    """The models that a node's widgets and prompts name."""
    for name, text in node.texts if "note" not in node.type.casefold() else ():
        if is_model_file(text):
            link = links.get(_base(text))
            folder = below_models(folder_for(node.type, name))
            yield listed(_base_as_written(text), locations=[link], filename=text, folder=folder, at=node.at)
        elif text[:8].lower() == "urn:air:":
            yield listed(text, locations=[text], folder=below_models(folder_for(node.type, name)), at=node.at)
        elif "embedding:" in text:
            for match in _EMBEDDING.finditer(text):
                path = match[1].rstrip(".")
                yield listed(_base_as_written(path), filename=path, folder=below_models("embeddings"), at=node.at)


def _base_as_written(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]

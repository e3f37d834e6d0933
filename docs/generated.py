"""The parts of the pages that come from the code: tables of keys, commands, folders and documents, as Markdown.

A page has the comment `<!-- generated: NAME -->` where a part belongs; `parts` names them all.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

import synapse_sync
from synapse_sync import errors
from synapse_sync.cli.commands import VERBS, cli
from synapse_sync.cli.documents import documents_schema
from synapse_sync.core.manifest.schema import manifest_schema
from synapse_sync.interop.writers import WRITERS
from synapse_sync.layouts import LAYOUTS, Layout

MARK = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)


def filled(text: str) -> str:
    """Return a page with each mark replaced by its part; raises `KeyError` for an unknown name."""
    return MARK.sub(lambda found: parts()[found[1]](), text)


def parts() -> Mapping[str, Callable[[], str]]:
    """Every part by its name."""
    return {
        "commands": commands,
        "documents": documents,
        "folders": folders,
        "manifest-keys": manifest_keys,
        "python-api": python_api,
        "python-errors": python_errors,
    }


def table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Return a table of Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def plain(text: str) -> str:
    """Escape what Markdown would read as markup in one line of words; code in backticks stays as it is."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    for at, part in enumerate(parts):
        if at % 2 == 0:
            part = re.sub(r"([*_<\[\]])", r"\\\1", part)
        parts[at] = part.replace("|", r"\|")
    return "".join(parts)


def code(text: str) -> str:
    """Return a name as code in a cell of a table."""
    return f"`{text}`".replace("|", r"\|")


# -- the manifest --------------------------------------------------------------------------------------

#: The tables of the manifest as they are written, by their names in the schema, in the order of the page.
_TABLES = {
    "ManifestTable": "Top level",
    "WorkspaceTable": "`[workspace]`",
    "TargetTable": "`[targets.NAME]`",
    "RootTable": "`root = { … }`",
    "ModelTable": "`[models.NAME]`",
    "FileTable": "`file = { … }` and `prefer = { … }`",
    "VariantTable": "`[models.NAME.variants.VARIANT]`",
    "PolicyTable": "`[policy]`",
}
_TYPES = {"string": "text", "boolean": "true or false", "integer": "number"}


def manifest_keys() -> str:
    """Return a table for each table of the manifest: key, type, default and description."""
    schema = manifest_schema()["$defs"]
    return "\n\n".join(
        f"### {title}\n\n" + table(("key", "value", "default", ""), _keys(schema[name], schema))
        for name, title in _TABLES.items()
    )


def _keys(shape: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in shape["properties"].items():
        yield code(key), _type(value, schema), _default(value), plain(value["description"])


def _type(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Say which values a key accepts."""
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(one, schema) for one in value["anyOf"] if one != {"type": "null"}))
    if "enum" in value:
        return ", ".join(code(word) for word in value["enum"] if word is not None)
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return "table" if name in _TABLES else _type(schema[name], schema)
    if value["type"] == "array":
        words = _type(value["items"], schema)
        return f"list of {words if words.startswith('`') else f'{words}s'}"
    if value["type"] == "object":
        return "table"
    bounds = f", {value['minimum']} to {value['maximum']}" if "minimum" in value else ""
    return _TYPES[value["type"]] + bounds


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    return "" if default in (None, [], {}, "") else code(json.dumps(default))


# -- commands ------------------------------------------------------------------------------------------


def commands() -> str:
    """Return a section for each command: usage, help, arguments and options."""
    # Hazard: a command keeps its first help option, so a context without these settings would take `-h` from it.
    top = click.Context(cli, info_name="synapse", **cli.context_settings)
    common = {option.name for option in cli.params} | {"help"}
    out = [
        "### Options of every command",
        _options(param for param in cli.get_params(top) if param.name != "version"),
    ]
    for verb in VERBS:
        command = cli.get_command(top, verb)
        assert command is not None
        out += _section(command, click.Context(command, info_name=verb, parent=top), common)
    return "\n\n".join(part for part in out if part)


def _section(command: click.Command, ctx: click.Context, common: set[str | None], level: int = 3) -> Iterator[str]:
    yield f"{'#' * level} `{ctx.command_path}`"
    yield f"```text\n{ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}\n```"
    yield _paragraphs(command.help or "")
    yield _options(param for param in command.params if param.name not in common)
    if command.name == "export":
        yield exports()
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _section(inner, click.Context(inner, info_name=name, parent=ctx), common, level + 1)


def _paragraphs(text: str) -> str:
    return "\n\n".join(plain(part.replace("\b", "")) for part in re.split(r"\n\s*\n", inspect.cleandoc(text)))


def _options(params: Iterator[click.Parameter]) -> str:
    """Return a table of options, or nothing; an option's variable is in brackets at the end of its help."""
    rows = [
        (_names(param), plain(re.sub(r"\s*\[SYNAPSE_\w+\]$", "", param.help or "")), _variable(param))
        for param in params
        if isinstance(param, click.Option) and not param.hidden
    ]
    return table(("option", "", "variable"), iter(rows)) if rows else ""


def _names(option: click.Option) -> str:
    metavar = "" if option.is_flag or option.count else f" {option.metavar or str(option.type.name).upper()}"
    names = ", ".join((*option.opts, *option.secondary_opts))
    return code(names + metavar)


def _variable(option: click.Option) -> str:
    found = option.envvar or re.findall(r"\[(SYNAPSE_\w+)\]", option.help or "")
    return ", ".join(code(name) for name in ([found] if isinstance(found, str) else found))


def exports() -> str:
    """Return a table of the formats of `synapse export`."""
    rows = (
        (code(f"{name} FILE" if writer.completes else name), plain(writer.about))
        for name, writer in sorted(WRITERS.items())
    )
    return table(("format", ""), rows)


# -- documents -----------------------------------------------------------------------------------------


def documents() -> str:
    """Return a table of commands with their documents, and a section for each shape."""
    schema = documents_schema()
    rows = ((code(f"synapse {words} --json"), _value(value)) for words, value in schema["commands"].items())
    shapes = (
        f"### {name}\n\n{plain(shape['description'])}\n\n" + table(("key", "value"), _fields(shape))
        for name, shape in sorted(schema["$defs"].items())
    )
    return table(("command", "document"), rows) + "\n\n## Shapes\n\n" + "\n\n".join(shapes)


def _fields(shape: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    required = shape.get("required", ())
    for key, value in shape["properties"].items():
        yield code(key), _value(value) + ("" if key in required else ", or the key is absent")


def _value(value: Mapping[str, Any]) -> str:
    """Say what a key of a document has."""
    if "anyOf" in value:
        return " or ".join(_value(one) for one in value["anyOf"])
    if "$ref" in value:
        return _shape_link(value)
    if value.get("type") == "array":
        return f"list of {_value(value['items'])}"
    if isinstance(each := value.get("additionalProperties"), dict):
        said = (
            f"{plain(value['description'])} Each key has a" if "description" in value else "table, each key with a"
        )
        return f"{said} {_value(each)}"
    return {"null": "null", "object": "table", None: "any value", **_TYPES}[value.get("type")]


def _shape_link(value: Mapping[str, Any]) -> str:
    name = value["$ref"].rpartition("/")[2]
    return f"[{name}](#{name.lower()})"


# -- folders -------------------------------------------------------------------------------------------


def folders() -> str:
    """Return a table for each layout: the folder of each type, further folders that the UI reads, and endings."""
    return "\n\n".join(_layout(layout) for layout in LAYOUTS.values())


def _layout(layout: Layout) -> str:
    head = f"### {layout.title[0].upper()}{layout.title[1:]} (`{layout.name}`)"
    if not layout.folders:
        return f"{head}\n\nEvery type has the same folder." if layout.catch_all == "" else f"{head}\n\n{_CACHE}"
    rows = (
        (
            code(kind),
            code(names[0]),
            ", ".join(map(code, names[1:])),
            _endings(layout.endings.get(kind, ())),
        )
        for kind, names in sorted({**layout.folders, **{k: (v,) for k, v in layout.extensions.items()}}.items())
    )
    return f"{head}\n\n" + table(("type", "folder", "also read", "endings"), rows)


def _endings(endings: tuple[str, ...]) -> str:
    """Name the endings, or all of them by one word."""
    every = max(map(len, (found for layout in LAYOUTS.values() for found in layout.endings.values())))
    return "any weights" if len(endings) == every else ", ".join(sorted(endings))


_CACHE = "The hub's own folders: `models--OWNER--REPO/snapshots/COMMIT/…`. Only repositories of Hugging Face fit."


# -- Python --------------------------------------------------------------------------------------------

_FIRST = ("Workspace", "CivitaiClient", "Reporter")


def python_api() -> str:
    """Return autodoc's directives for the classes of the API that are no errors."""
    names = [name for name in synapse_sync.__all__ if not _is_error(name) and name != "__version__"]
    return _autodoc([*_FIRST, *sorted(set(names) - set(_FIRST))], members=True)


def python_errors() -> str:
    """Return autodoc's directives for the errors."""
    return _autodoc(sorted(name for name in synapse_sync.__all__ if _is_error(name)), members=False)


def _is_error(name: str) -> bool:
    return isinstance(value := getattr(synapse_sync, name), type) and issubclass(value, errors.SynapseError)


def _autodoc(names: list[str], *, members: bool) -> str:
    option = "\n   :members:\n   :undoc-members:" if members else "\n   :show-inheritance:"
    blocks = [f".. autoclass:: synapse_sync.{name}{option}" for name in names]
    return "```{eval-rst}\n" + "\n\n".join(blocks) + "\n```"

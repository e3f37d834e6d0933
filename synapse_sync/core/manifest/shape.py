"""The tables and keys of `synapse.toml`, for the reader and for the JSON Schema.

`schema.py` has the description of every key.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from synapse_sync.core.link_mode import LinkMode

#: The width of a preview in pixels, and its quality in percent.
Width = Annotated[int, msgspec.Meta(ge=16, le=4096)]
Quality = Annotated[int, msgspec.Meta(ge=1, le=100)]


class Table(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A table of the manifest; keys are written with hyphens."""


class FileTable(Table):
    """The wanted file of a version."""

    format: str | None = None
    precision: str | None = None
    size: str | None = None
    quant: str | None = None
    name: str | None = None
    type: str | None = None
    id: int | str | None = None


class WorkspaceTable(Table):
    """Defaults for all models."""

    name: str | None = None
    previews: bool | int = False
    preview_rating: Literal["pg", "pg13", "r", "x", "xxx"] = "pg13"
    preview_width: Width | None = None
    preview_quality: Quality | None = None
    prefer: FileTable = msgspec.field(default_factory=FileTable)
    allow_pickle: bool = False
    exclude_newer: str | None = None
    sidecars: bool | list[str] = False
    allow_dangerous: list[str] = []
    reproducible: bool = False
    remote: str | list[str] = []


class PolicyTable(Table):
    """The rules that every locked model has to follow."""

    formats: list[Literal["gguf", "onnx", "pickle", "safetensors"]] | None = None
    commercial_use: bool = False
    nsfw: bool = True
    max_size: int | str | None = None
    hosts: list[str] | None = None
    exempt: list[str] = []


class RootTable(Table):
    """A root that differs between machines: the variable goes first, then the system, then the default."""

    default: str | None = None
    linux: str | None = None
    macos: str | None = None
    windows: str | None = None
    env: str | None = None


class TargetTable(Table):
    """A directory tree that a sync updates."""

    layout: str = "comfyui"
    root: str | RootTable = "."
    groups: list[str] | None = None
    link_mode: LinkMode = LinkMode.AUTO
    sidecars: bool | list[str] | None = None
    folders: dict[str, str] = {}
    types: list[str] | None = None
    exclude_types: list[str] = []


class VariantTable(Table):
    """A variant of a model: the keys that differ from the model's own."""

    source: str | None = None
    file: FileTable | None = None
    include: str | list[str] | None = None
    exclude: str | list[str] | None = None
    filename: str | None = None
    mirrors: list[str] | None = None
    sha256: str | None = None


class ModelTable(Table):
    """One model, in the long form."""

    source: str
    versions: list[int] = []
    type: str | None = None
    file: FileTable = msgspec.field(default_factory=FileTable)
    prefer: FileTable = msgspec.field(default_factory=FileTable)
    include: str | list[str] = []
    exclude: str | list[str] = []
    extract: str | list[str] = []
    groups: list[str] = []
    targets: list[str] | None = None
    policy: Literal["pinned", "same-base", "latest"] = "same-base"
    ignore: list[int] = []
    folder: str | dict[str, str] | None = None
    subfolder: str | None = None
    filename: str | None = None
    flatten: bool = False
    previews: bool | int | None = None
    preview_rating: Literal["pg", "pg13", "r", "x", "xxx"] | None = None
    preview_width: Width | None = None
    preview_quality: Quality | None = None
    sidecars: bool | list[str] | None = None
    cover: str | None = None
    mirrors: list[str] = []
    sha256: str | None = None
    allow_pickle: bool | None = None
    allow_code: bool = False
    exclude_newer: str | None = None
    optional: bool = False
    variants: dict[str, VariantTable] = {}
    origin: str | None = None


class IncludedTable(Table):
    """An included manifest: models, and further manifests."""

    include: list[str] = []
    models: dict[str, str | ModelTable] = {}


class ManifestTable(Table):
    """`synapse.toml`."""

    include: list[str] = []
    workspace: WorkspaceTable = msgspec.field(default_factory=WorkspaceTable)
    policy: PolicyTable = msgspec.field(default_factory=PolicyTable)
    targets: dict[str, TargetTable] = {}
    models: dict[str, str | ModelTable] = {}

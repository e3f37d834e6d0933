"""Documents of `init` and `import`."""

from __future__ import annotations

from typing import Any

from synapse_sync.cli.documents.shape import Shape


class NearbyUI(Shape):
    """A UI that no target covers; `models` counts the models in it."""

    layout: str
    root: str
    models: int


class InitDocument(Shape):
    """The new manifest; `others` are further UIs nearby."""

    manifest: str
    layout: str
    root: str
    models: int
    warnings: list[str]
    others: list[NearbyUI]


class ImportedFile(Shape):
    """A file that was declared; `reference` is null for one that no site knows."""

    name: str
    target: str
    path: str
    size: int
    sha256: str
    type: str | None
    reference: str | None
    title: str | None


class Left(Shape):
    """A file that stays unmanaged."""

    path: str
    reason: str


class ImportDocument(Shape):
    """The files of directories that were declared; `known` counts those that were managed already."""

    dry_run: bool
    targets: list[str]
    models: list[ImportedFile]
    left: list[Left]
    known: int
    duplicates: list[list[str]]
    spare_bytes: int
    warnings: list[str]


class ListFile(Shape):
    """A file with a list of models, and the name of its format."""

    file: str
    format: str
    models: int


class Listed(Shape):
    """A model as its list names it; `at` is where in the list."""

    file: str
    name: str
    filename: str | None
    folder: str | None
    type: str | None
    sha256: str | None
    hash: str | None
    locations: list[str]
    at: str | None


class ListedAdded(Listed):
    """A listed model that was declared, with its entry in the manifest."""

    model: str
    entry: dict[str, Any]


class ListedKnown(Listed):
    """A listed model that is declared or here already."""

    model: str | None
    path: str | None


class ListedUnresolved(Listed):
    """A listed model that could not be declared."""

    reason: str
    hint: str | None


class ImportListDocument(Shape):
    """The models of lists that were declared."""

    dry_run: bool
    lists: list[ListFile]
    added: list[ListedAdded]
    known: list[ListedKnown]
    unresolved: list[ListedUnresolved]
    warnings: list[str]
    exit_code: int


class ImportCheckDocument(Shape):
    """The models of lists that are missing here (`import --check`)."""

    lists: list[ListFile]
    missing: list[Listed]


class IdentifyDocument(Shape):
    """The references of local files that a site knows, by name (`import --identify`)."""

    identified: dict[str, str]
    warnings: list[str]


class ImportPartDocument(Shape):
    """One part of the files of directories, which was hashed (`import --shard`)."""

    part: str
    files: int
    bytes: int

"""Documents of the commands that write the lockfile, and of `diff`."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from synapse_sync.cli.documents.shape import Shape


class Change(Shape):
    """A change of the lockfile: `before` and `after` are references or facts."""

    kind: str
    name: str
    before: str | None
    after: str | None


class LockedFile(Shape):
    """A locked file; `size` is in bytes."""

    filename: str
    size: int
    sha256: str


class LockedModel(Shape):
    """A model of the lockfile; `size` is in bytes, of all files."""

    name: str
    reference: str
    title: str | None
    version: str | None
    type: str | None
    base_model: str | None
    published: str | None
    trained_words: list[str]
    license: dict[str, Any]
    size: int
    files: list[LockedFile]


class ModelDiff(Shape, rename={"before": "from", "after": "to"}):
    """A model in two lockfiles; `facts` are the words for what differs."""

    name: str
    kind: str
    old_name: str | None
    before: LockedModel | None
    after: LockedModel | None
    facts: list[str]


class Diff(Shape):
    """The differences of two lockfiles, by kind."""

    added: list[ModelDiff]
    removed: list[ModelDiff]
    moved: list[ModelDiff]
    renamed: list[ModelDiff]
    changed: list[ModelDiff]


class DiffDocument(Diff):
    """The differences from the lockfile of a commit."""

    revision: str
    commit: str
    warnings: list[str]


class Healed(Shape):
    """A further location that was found for a file."""

    model: str
    file: str
    place: str


class Drift(Shape):
    """A difference between a site and the lockfile."""

    model: str
    kind: str
    message: str
    hint: str | None


class LockDocument(Shape):
    """The changes of a lock; `models` counts all locked ones. `findings` are those of `--check --remote`."""

    changes: list[Change]
    healed: list[Healed]
    models: int
    diff: Diff
    warnings: list[str]
    findings: list[Drift] | UnsetType = UNSET


class AddDocument(Shape):
    """The models that were added, as they are locked."""

    added: list[LockedModel]
    warnings: list[str]


class RemoveDocument(Shape):
    """The names of the models that were removed."""

    removed: list[str]

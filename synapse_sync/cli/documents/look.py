"""Documents of the commands that only look, and of `export` and `detach`."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from synapse_sync.cli.documents.lock import Drift
from synapse_sync.cli.documents.plan import File, SyncDocument
from synapse_sync.cli.documents.shape import Error, Shape


class Place(Shape):
    """A path of a model, and whether its file is there."""

    target: str
    path: str
    placed: bool


class Stock(Shape):
    """A locked model and its paths. `first_use` are files whose digest synapse saw first itself."""

    name: str
    reference: str
    title: str | None
    version: str | None
    type: str | None
    base_model: str | None
    trained_words: list[str]
    size: int
    first_use: list[str]
    places: list[Place]


class ModelUse(Shape):
    """The bytes of a model: in its locked files, on disk with all copies, and those that only it uses."""

    name: str
    size: int
    on_disk: int
    only_it_uses: int


class HeldFile(Shape):
    """A copy of a file; null names for one in the store."""

    target: str | None
    path: str | None
    size: int
    yours: bool


class Duplicate(Shape):
    """Copies of the same bytes."""

    sha256: str
    spare_bytes: int
    files: list[HeldFile]


class Deletable(Shape):
    """The bytes of all models, and those that can be deleted."""

    size: int
    on_disk: int
    only_one_model_uses: int
    unmanaged: list[File]
    duplicates: list[Duplicate]
    reclaimable_in_store: int
    warnings: list[str]


class ListDocument(Shape):
    """The locked models, and the names of those for other machines; `sizes` and `deletable` with `--sizes`."""

    models: list[Stock]
    not_locked: list[str]
    elsewhere: list[str]
    sizes: list[ModelUse] | UnsetType = UNSET
    deletable: Deletable | UnsetType = UNSET


class ShowDocument(Shape):
    """Everything about some locked models: their facts, files and places."""

    models: list[dict[str, Any]]


class TreeFile(Shape):
    """A file that a target is to have, and its state."""

    path: str
    model: str
    size: int
    state: str


class Branch(Shape):
    """A target with its files."""

    name: str
    layout: str
    root: str
    groups: list[str] | None
    files: list[TreeFile]


class TreeDocument(Shape):
    """The targets with their files."""

    targets: list[Branch]
    not_locked: list[str]
    warnings: list[str]


class Answer(Shape):
    """Why a file is where it is; `reason` says why it is not managed."""

    path: str
    target: str | None
    root: str | None
    kind: str
    state: str | None
    how: str | None
    model: str | None
    requirement: str | None
    reference: str | None
    groups: list[str]
    origin: str | None
    sha256: str | None
    reason: str | None


class WhyDocument(Shape):
    """One answer for each target that the file is in."""

    answers: list[Answer]


class VerifyDocument(Shape):
    """The files that were hashed, and those with other bytes; `repair` is the report of a sync."""

    files: int
    bytes: int
    bad: list[Error]
    set_aside: list[str]
    warnings: list[str]
    repair: SyncDocument | None


class Pin(Shape):
    """A version of a model."""

    reference: str
    version: str | None
    base_model: str | None
    published: str | None


class Standing(Shape):
    """A model compared with its site; `held` says why `allowed` and `newest` differ."""

    name: str
    policy: str
    locked: Pin | None
    allowed: Pin | None
    newest: Pin | None
    outdated: bool
    unsure: bool
    changes: list[Drift]
    held: str | None
    error: Error | None


class OutdatedDocument(Shape):
    """Every model compared with its site; `outdated` counts those that an upgrade would change."""

    outdated: int
    models: list[Standing]


class Terms(Shape):
    """The licence of a model, in the words of its site; `seen` is the day of the first commit with it."""

    name: str
    reference: str
    title: str | None
    creator: str | None
    licence: str | None
    commercial_use: bool | None
    base_model: str | None
    page: str | None
    seen: str | None


class LicensesDocument(Shape):
    """The licences of all locked models."""

    models: list[Terms]


class UnusedFile(Shape):
    """A file that no workflow names; `model` is null for an unmanaged one."""

    target: str
    path: str
    size: int
    model: str | None


class Unread(Shape):
    """A file that could not be read."""

    path: str
    reason: str


class UnusedDocument(Shape):
    """The files that no workflow names, among `models` files and `workflows` workflows."""

    workflows: int
    models: int
    unused: list[UnusedFile]
    bytes: int
    unread: list[Unread]


class ExportDocument(Shape):
    """An export: its text, or the file that has it."""

    format: str
    output: str | None
    files: int
    left_out: int
    text: str | None
    warnings: list[str]


class Turn(Shape):
    """A link that became a file."""

    target: str
    path: str
    size: int


class DetachDocument(Shape):
    """The trees that were detached."""

    dry_run: bool
    roots: list[str]
    became_files: list[Turn]
    files: int
    hard_links: int
    changed: list[str]


class BundleDocument(Shape):
    """A bundle; `contents` is its digest, `left_out` and `withheld` are what it lacks."""

    output: str | None
    files: int
    bytes: int
    contents: str
    left_out: list[str]
    withheld: dict[str, str]
    warnings: list[str]


class UnbundleDocument(Shape):
    """The project of a bundle, and its files: those that are new in the store, and those that it had."""

    directory: str
    written: list[str]
    added: int
    present: int
    bytes: int
    contents: str


class GalleryDocument(Shape):
    """The page that was written; `size` is in bytes, `previewed` counts the models with a preview."""

    output: str
    size: int
    models: int
    unmanaged: int
    previewed: int
    thumbnails: int

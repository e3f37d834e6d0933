"""Documents of `status` and `sync`."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from synapse_sync.cli.documents.remote import PushDocument
from synapse_sync.cli.documents.shape import Error, Shape


class Action(Shape):
    """One step of a plan. `size` is in bytes; `target` and `path` are null for a download into the store."""

    verb: str
    model: str
    target: str | None
    path: str | None
    sha256: str | None
    size: int
    reason: str | None


class Outcome(Action):
    """A step and what became of it; neither done nor with an error means skipped."""

    done: bool
    detail: str | None
    error: Error | None


class Consent(Shape):
    """Something outside the project that a manifest wants."""

    kind: str
    value: str


class PlanDocument(Shape):
    """A plan. `unchanged` paths are right already; `withheld` paths stay, as nobody is sure about them."""

    in_sync: bool
    unchanged: int
    fetch_bytes: int
    not_locked: list[str]
    renamed: list[str]
    not_declared: list[str]
    asks: list[Consent]
    withheld: int
    actions: list[Action]
    warnings: list[str]


class File(Shape):
    """A file of a target that synapse did not place; `size` is in bytes."""

    target: str
    path: str
    size: int


class UnmanagedFile(File):
    """A file of a target that synapse did not place; `reason` is null if an import may declare it."""

    reason: str | None


class StatusDocument(PlanDocument):
    """The plan, and the unmanaged files in managed folders."""

    unmanaged: list[UnmanagedFile]


class SyncDocument(PlanDocument):
    """The plan that was carried out, with the outcome of each action."""

    fetched_bytes: int
    copied_bytes: int
    remote_files: int
    remote_bytes: int
    outcomes: list[Outcome]
    lock_errors: list[Error]
    exit_code: int
    backfill: PushDocument | UnsetType = UNSET

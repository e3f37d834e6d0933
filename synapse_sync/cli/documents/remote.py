"""Documents about remotes."""

from __future__ import annotations

from synapse_sync.cli.documents.shape import Error, Shape


class Upload(Shape):
    """A locked file for a remote; `size` is in bytes."""

    sha256: str
    size: int
    model: str
    filename: str


class Uploaded(Upload):
    """A file of a push, and what became of it."""

    state: str
    error: Error | None


class KeptBack(Shape):
    """A model whose files are uploaded only by name."""

    model: str
    why: str


class PushDocument(Shape):
    """A push to one remote; `bytes` were sent."""

    remote: str
    files: list[Uploaded]
    kept_back: list[KeptBack]
    bytes: int


class Blobs(Shape):
    """How many blobs a repository had, how many came from another one, and how many were sent."""

    present: int
    mounted: int
    sent: int


class RegistryPushDocument(Shape):
    """A push into a registry: `digest` is what the tag means, and `renewed` whether it meant something else before.

    `bytes` is the size of all blobs, `sent_bytes` of those that were sent or, with `dry_run`, would be. `withheld`
    are models that are handed on only by name, each with the reason.
    """

    address: str
    digest: str
    files: int
    bytes: int
    blobs: Blobs
    sent_bytes: int
    renewed: bool
    dry_run: bool
    withheld: dict[str, str]


class Pulled(Shape):
    """A file that came from a remote."""

    sha256: str
    size: int
    remote: str


class PullDocument(Shape):
    """The files that came from remotes; `there` counts those that the store had."""

    there: int
    pulled: list[Pulled]
    bytes: int
    errors: list[Error]
    warnings: list[str]


class RemoteState(Shape):
    """The locked files that a remote has, those that it lacks, and those that have a `wrong` size there."""

    remote: str
    there: int
    there_bytes: int
    missing: list[Upload]
    wrong: list[Upload]
    error: Error | None


class RemoteStatesDocument(Shape):
    """Every remote."""

    remotes: list[RemoteState]


class PublishDocument(Shape):
    """The lockfile as it was published; `mended` is true if other bytes were there before."""

    remote: str
    sha256: str
    new: bool
    mended: bool


class RemoteObject(Shape):
    """An object of a remote."""

    path: str
    size: int


class RemoteCollectDocument(Shape):
    """The objects that `store gc --remote` drops, and how many stay."""

    remote: str
    drop: list[RemoteObject]
    lockfiles: int
    in_use: int
    young: int
    freed_bytes: int
    aborted_uploads: int | None

"""Documents about accounts, consent, the machine and the store."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from synapse_sync.cli.documents.plan import Consent
from synapse_sync.cli.documents.shape import Error, Shape


class Identity(Shape):
    """A token, and whether its site accepts it. `token_from` says where it comes from."""

    host: str
    state: str
    account: str | None
    token_from: str | None
    note: str | None
    error: Error | None


class WhoamiDocument(Shape):
    """The accounts of all tokens."""

    identities: list[Identity]
    exit_code: int


class LoginDocument(Shape):
    """Where a token is kept; `overridden_by` is a variable that comes before it."""

    host: str
    account: str | None
    kept_in: str
    overridden_by: str | None


class LogoutDocument(Shape):
    """Whether a token was forgotten, and where another one remains."""

    host: str
    forgotten: bool
    left_in: str | None


class Finding(Shape):
    """A finding of the doctor; `mend` is what to do."""

    topic: str
    state: str
    text: str
    mend: str | None
    exit_code: int


class DoctorDocument(Shape):
    """The findings of all checks, and the gravest code."""

    findings: list[Finding]
    exit_code: int


class Remaining(Shape):
    """Where a model could still be had; `lost` are its files that no other location has."""

    name: str
    places: list[str]
    lost: list[str]
    lost_bytes: int


class WithoutDocument(Shape):
    """The models without a site (`doctor --without`)."""

    without: str
    models: list[Remaining]
    exit_code: int


class CompletionDocument(Shape):
    """The completion script of a shell, and the line that loads it."""

    shell: str
    line: str
    file: str | None
    script: str


class StorePathDocument(Shape):
    """The directory of the main store."""

    path: str


class StoreSizeDocument(Shape):
    """The number of files in the store, and their bytes; `set_aside_bytes` are those in quarantine."""

    blobs: int
    bytes: int
    set_aside_bytes: int


class Blob(Shape):
    """A file of the store; `also_in` is another store that has it."""

    sha256: str
    size: int
    also_in: str | UnsetType = UNSET


class RefusedDownload(Shape):
    """A file in quarantine whose bytes were not the wanted ones."""

    path: str
    size: int


class CollectDocument(Shape):
    """The files that `store gc` drops; `in_use` counts those that stay."""

    drop: list[Blob]
    refused_downloads: list[RefusedDownload]
    kept_irreplaceable: list[Blob]
    bytes: int
    in_use: int
    warnings: list[str]
    freed_bytes: int | UnsetType = UNSET


class StoreForgetDocument(Shape):
    """The project that was forgotten."""

    forgotten: str


class StoreVerifyDocument(Shape):
    """The files of the store that were hashed, and those that were set aside."""

    blobs: int
    bytes: int
    set_aside: list[str]


class Store(Shape):
    """A store; `here` says whether its volume is mounted."""

    path: str
    main: bool
    here: bool
    blobs: int | None
    bytes: int | None
    set_aside_bytes: int | None
    free_bytes: int | None


class StoreListDocument(Shape):
    """All stores."""

    stores: list[Store]


class StoreAddDocument(Shape):
    """The store that was added."""

    added: str


class StoreRemoveDocument(Shape):
    """The store that was left out."""

    removed: str


class TrustDocument(Shape):
    """The consents that were kept, or revoked, or the files that were handed over."""

    agreed: list[Consent] | UnsetType = UNSET
    revoked: list[Consent] | UnsetType = UNSET
    taken: list[str] | UnsetType = UNSET


#: The document of `trust --list`: its keys are no names, so it is no shape of its own.
ConsentsDocument = Annotated[
    dict[str, list[Consent]], Meta(description="The consents of each project, by its path.")
]

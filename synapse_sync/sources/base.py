"""What a source is to us, and all that a source may know of us."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, runtime_checkable

from synapse_sync.core.artifact import Candidate, ModelCard
from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.errors import StatusError, SynapseError, WrongContent

if TYPE_CHECKING:
    import ssl

    from synapse_sync.net.api import Api
    from synapse_sync.net.bounds import Bounds
    from synapse_sync.net.credentials import Credentials, Secret
    from synapse_sync.net.retries import Retry
    from synapse_sync.net.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The means with which a source is made.

    `project` is the project's directory. `api`, `wire`, `credentials`, `tls`, `retry` and `bounds` make what they
    are named after when it is first needed; the last two have defaults. `endpoints` are those of each site, in the
    order of its row in `sites.py`. `asked(name)` returns the API's endpoint of a site after the user's rewrites,
    with the token for it.
    """

    project: Path
    api: Callable[[], Api]
    wire: Callable[[], Wire]
    credentials: Callable[[], Credentials]
    tls: Callable[[], ssl.SSLContext]
    endpoints: Mapping[str, tuple[str, ...]]
    asked: Callable[[str], tuple[str, Secret | None]]
    retry: Callable[[], Retry | None] = lambda: None
    bounds: Callable[[], Bounds | None] = lambda: None
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question to a source: what the manifest says about one model, as far as a source needs it.

    `key` is ours, opaque to the source, and comes back with the answer. `include`/`exclude` are glob patterns
    over repository paths. `exclude_newer`, in UTC: resolve as of then. Where the site chooses the
    version, one for `base_model` and none of `ignore` (revisions) is taken, if it has such a one.
    """

    key: str
    reference: Reference
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_newer: datetime | None = None
    base_model: str | None = None
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """One answer: the pinned reference, the words, and the files on offer.

    With `take_all` every candidate is wanted (a repository), otherwise one of them is to be selected.
    """

    key: str
    reference: Reference
    card: ModelCard
    candidates: tuple[Candidate, ...]
    take_all: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One version as its site tells about it. `hashes` has all digests of each file, by algorithm, as `files` go.

    `refusal` is why it cannot be had now, or None.
    """

    reference: Reference
    card: ModelCard
    files: tuple[Candidate, ...] = ()
    hashes: tuple[tuple[tuple[str, str], ...], ...] = ()
    refusal: SynapseError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All that a site tells about a model; `chosen` is the place of the version that the reference means."""

    title: str | None
    editions: tuple[Edition, ...]
    chosen: int = 0
    page: str | None = None
    creator: str | None = None
    tags: tuple[str, ...] = ()
    air: str | None = None
    notes: tuple[str, ...] = ()


def description_of(resolved: Resolved, *, creator: str | None = None, page: str | None = None) -> Description:
    """What an answer alone tells: a single version, with the digests of its candidates."""
    named = (
        (("sha256", file.sha256), ("blake3", file.blake3), ("git-sha1", file.git_sha1))
        for file in resolved.candidates
    )
    hashes = tuple(tuple((name, value) for name, value in pairs if value is not None) for pairs in named)
    edition = Edition(reference=resolved.reference, card=resolved.card, files=resolved.candidates, hashes=hashes)
    return Description(
        title=resolved.card.title, editions=(edition,), creator=creator, page=page, notes=resolved.warnings
    )


@dataclass(frozen=True, slots=True)
class Location:
    """Where bytes are right now: a URL to GET or, with `path` set, a file on this machine. Never stored.

    There is no room for headers: credentials are added by `net` at the last moment, by exact origin.
    """

    url: str
    path: str | None = None


class Source(Protocol):
    """A site models come from."""

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Answer many asks at once, by `Ask.key`; a failure of one is a value, so that all are reported."""
        ...

    def describe(self, reference: Reference) -> Description:
        """Tell all about the model that this names, also where it cannot be downloaded; raises `SynapseError`."""
        ...

    def locate(self, reference: Reference) -> Location:
        """Turn the reference of one file (an artifact's `url` or mirror) into a location; no request is made."""
        ...

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Which of these digests the site knows, and as what; unknown ones are left out."""
        ...

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """Turn an HTTP status met while fetching `reference` into the site's own sentence and a next step."""
        ...

    def needs_token(self, reference: Reference) -> str | None:
        """What to set before this can be downloaded, as a sentence that names the environment variable; or None.

        None also where nobody can know before trying. No request is made.
        """
        ...


@runtime_checkable
class Documenting(Protocol):
    """A site whose own words about a version are kept beside its files."""

    def documents(self, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
        """The site's document about each pinned version; a failure of one is a value."""
        ...


@runtime_checkable
class Relocating(Protocol):
    """A source whose files may move: it finds them again where the address that was locked answers 404."""

    def relocate(self, reference: Reference, sha256: str | None) -> Iterator[Reference]:
        """Places to try instead, best first, and the same one again where a 404 may pass by itself."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file by its content, and the locations that are known for it."""

    sha256: str
    places: tuple[Reference, ...]


#: Locations that a site found, each with the SHA-256 of its file, and warnings.
Found = tuple[list[tuple[str, Reference]], list[str]]


@runtime_checkable
class Finding(Protocol):
    """A source that knows further locations of files, by their content."""

    def further_places(self, wanted: Sequence[Wanted]) -> Found:
        """Find locations of `wanted` in a bounded number of requests; raises `SynapseError` if it cannot."""
        ...


@runtime_checkable
class Recognising(Protocol):
    """A source that knows the pages which hosts show instead of a file."""

    def recognise(self, reference: Reference, error: WrongContent) -> WrongContent | None:
        """The page that came instead of the file, in words of its own; None if it is none that is known."""
        ...


def raise_in_words(source: Source, reference: Reference, error: StatusError | WrongContent) -> NoReturn:
    """Raise what was met while fetching `reference` as its source tells it."""
    told: SynapseError | None = None
    if isinstance(error, StatusError):
        told = source.explain(reference, error)
    elif isinstance(source, Recognising):
        told = source.recognise(reference, error)
    if told is None:
        raise error
    raise told from error

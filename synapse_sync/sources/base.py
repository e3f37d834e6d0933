"""The protocol of a source, and all that a source may know of the rest of synapse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

from synapse_sync.core.artifact import Candidate, ModelCard
from synapse_sync.core.digest import Digest
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.reference import Reference
from synapse_sync.core.site_facts import SiteFacts
from synapse_sync.errors import StatusError, SynapseError, WrongContent

if TYPE_CHECKING:
    import ssl

    from synapse_sync.net.api import Api
    from synapse_sync.net.bounds import Bounds
    from synapse_sync.net.credentials import Credentials, Secret
    from synapse_sync.net.retries import Retry
    from synapse_sync.net.stream import Stream
    from synapse_sync.net.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The means with which a source is made.

    `project` is the project's directory. `api`, `wire`, `credentials`, `tls`, `retry` and `bounds` make what they
    are named after when it is first needed; the last two have defaults. `endpoints` are those of each site, in the
    order of its row in `sites.py`. `asked(name)` returns the API's endpoint of a site after the user's rewrites,
    with the token for it. `tls_early` says that certificates were named by the user, so that a mistake in that is
    reported with the first request, encrypted or not. `at_close` registers a call for the end of the workspace.
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
    at_close: Callable[[Callable[[], None]], None] = lambda ending: None
    tls_early: bool = False
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question to a source: the part of a model's requirement that a source needs.

    `key` is opaque to the source, and comes back with the answer. `include`/`exclude` are glob patterns
    over repository paths. `exclude_newer`, in UTC: resolve as of then. Where the site chooses the
    version, it chooses one for `base_model` and none of `ignore` (revisions), if it has such a version.
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
    """One answer: the pinned reference, the facts about the model (`card`), and the files that are available.

    With `take_all` every candidate is wanted (a repository); otherwise one of them has to be selected. `meant` is
    the question's reference as the site reads it, where its text could be read in another way, too.
    """

    key: str
    reference: Reference
    card: ModelCard
    candidates: tuple[Candidate, ...]
    take_all: bool = False
    warnings: tuple[str, ...] = ()
    meant: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One version as its site describes it.

    `hashes` has all digests of each file by algorithm, in the order of `files`. `refusal` is the reason why it
    cannot be downloaded now, or None. `details` are further facts by the names that `--json` prints: those of the
    version, of each file in the order of `files`, and of previews by their addresses. A `description` is HTML.
    """

    reference: Reference
    card: ModelCard
    files: tuple[Candidate, ...] = ()
    hashes: tuple[tuple[tuple[str, str], ...], ...] = ()
    refusal: SynapseError | None = None
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    file_details: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    preview_details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Everything that a site reports about a model; `chosen` is the index of the version that is meant.

    `details` are further facts by the names that `--json` prints; a `description` among them is HTML.
    """

    title: str | None
    editions: tuple[Edition, ...]
    chosen: int = 0
    page: str | None = None
    creator: str | None = None
    tags: tuple[str, ...] = ()
    air: str | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        return f"<Description {self.title!r}: {len(self.editions):,} versions>"


def description_of(resolved: Resolved, *, creator: str | None = None, page: str | None = None) -> Description:
    """Make a description from an answer alone: a single version, with the digests of its candidates."""
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
    """The place of bytes at this moment: a URL to GET or, with `path`, a file on this machine. It is never stored.

    It has no headers: `net` adds credentials at the last moment, by exact origin. With `open`, the URL only names
    the bytes: `open(start, end)` returns the stream of those from `start` to before `end` (None: the end).
    """

    url: str
    path: str | None = None
    open: Callable[[int, int | None], Stream] | None = None


class Source(Protocol):
    """A site models come from."""

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Answer many questions at once, by `Ask.key`; a failure is a value, so that all failures are reported."""
        ...

    def describe(self, reference: Reference) -> Description:
        """Describe the model of `reference`, also if it cannot be downloaded; raises `SynapseError`."""
        ...

    def locate(self, reference: Reference) -> Location:
        """Turn the reference of one file (an artifact's `url` or mirror) into a location; no request is made."""
        ...

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Return the references of the digests that the site knows; unknown ones are left out."""
        ...

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """Turn an HTTP status of a request for `reference` into a sentence about this site and a next step."""
        ...

    def needs_token(self, reference: Reference) -> str | None:
        """Return how to provide the token that this download needs, as a sentence; None if it needs none.

        None also if only the download can show it. No request is made.
        """
        ...


@runtime_checkable
class Documenting(Protocol):
    """A site with a document about each version, which is placed beside its files."""

    def documents(self, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
        """Return the site's document about each pinned version; a failure is a value."""
        ...

    def model_documents(self, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
        """Return the site's document about the model of each reference; a failure is a value."""
        ...

    def facts(self, references: Sequence[Reference]) -> Mapping[Reference, SiteFacts]:
        """Return the facts about the model of each reference; models without an answer are left out."""
        ...


@runtime_checkable
class Relocating(Protocol):
    """A source whose files may move: it finds them again if the locked location answers 404."""

    def relocate(self, reference: Reference, sha256: str | None) -> Iterator[Reference]:
        """Yield locations to try instead, best first; `reference` comes again if its 404 may be temporary."""
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
class Guarding(Protocol):
    """A source whose repositories may be closed to an account, and which says so before it sends a byte."""

    def gate(self, reference: Reference) -> str | None:
        """The name of what opens or stays closed as a whole, a repository for example; no request is made.

        None for a reference of which only the download shows whether it is open.
        """
        ...

    def gate_url(self, reference: Reference) -> str:
        """The address that refuses a HEAD where the gate of `reference` is closed; no request is made."""
        ...

    def closed(self, reference: Reference, error: StatusError) -> SynapseError | None:
        """The reason why the gate is closed, if a status of its address says that.

        None for a status about one file or moment.
        """
        ...


@runtime_checkable
class Recognising(Protocol):
    """A source that recognises the web pages that hosts show instead of a file."""

    def recognise(self, reference: Reference, error: WrongContent) -> WrongContent | None:
        """Return the error for the page that came instead of the file, or None for an unknown page."""
        ...


def raise_in_words(source: Source, reference: Reference, error: StatusError | WrongContent) -> NoReturn:
    """Raise the error of a request for `reference` in the words of its source."""
    explained: SynapseError | None = None
    if isinstance(error, StatusError):
        explained = source.explain(reference, error)
    elif isinstance(source, Recognising):
        explained = source.recognise(reference, error)
    if explained is None:
        raise error
    raise explained from error

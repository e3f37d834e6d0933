"""What a source is to us, and all that a source may know of us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from synapse_sync.core.artifact import Candidate, ModelCard
from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.errors import StatusError, SynapseError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question to a source: what the manifest says about one model, as far as a source needs it.

    `key` is ours, opaque to the source, and comes back with the answer. `include`/`exclude` are glob patterns
    over repository paths. `exclude_newer` is an ISO 8601 instant: resolve as of then.
    """

    key: str
    reference: Reference
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_newer: str | None = None


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

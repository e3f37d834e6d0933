"""The values of the transfer wing: wanted files, files that arrived, limits, and the callables that bring files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from synapse_sync.core.artifact import Archive, Artifact
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.policy import Permissions, documents_expected
from synapse_sync.core.reference import Reference
from synapse_sync.errors import SynapseError
from synapse_sync.sources.base import Location
from synapse_sync.transfer.idle import idle_seconds

#: Files below this size (bytes) are bound by latency and by the work on each file, not by bandwidth.
SMALL = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """One wanted file and its locations. A field that is None is unknown.

    `places` are the locations, tried in order. With a digest, locations at hosts that failed in this run come last,
    and locations at much slower hosts come later. `size` is in bytes, digests are lower-case hexadecimal.

    `key` is for the caller and the reporter, `subject` for messages. `text_ok` says that a JSON or HTML document
    may be the right answer. With `archive`, the locations are those of the archive that contains the file;
    `transfer` itself knows only whole files. `size_is_certain` says that the size comes from the bytes themselves,
    not from a site's description. `source_names` are the file's names at its source, `names` those in the trees,
    as far as they are known. `forbidden` are the permissions that the user's settings withhold.
    """

    key: str
    places: tuple[Reference, ...]
    sha256: str | None
    size: int | None
    blake3: str | None
    git_sha1: str | None
    subject: str
    text_ok: bool = False
    format: str = "other"
    allow_pickle: bool = False
    allow_code: bool = False
    forbidden: Mapping[str, str] = field(default_factory=dict)
    archive: Archive | None = None
    size_is_certain: bool = False
    source_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def is_pinned(self) -> bool:
        """Whether a digest of the whole file is known, which then decides alone."""
        return any(digest is not None for digest in (self.sha256, self.blake3, self.git_sha1))

    @property
    def model(self) -> str:
        """The name of the model that the subject begins with."""
        return self.subject.partition(" (")[0]

    def needs_blake3(self, size: int | None) -> bool:
        """Whether the BLAKE3 of a file of this size (bytes, None: unknown) is computed when it arrives.

        `verify` is faster with it, which matters for large files. A lockfile gets it for every file that was
        downloaded to be locked, whatever its size: the digest, or the size, was unknown then.
        """
        unknown = self.sha256 is None or self.size is None
        return unknown or size is None or size >= SMALL

    @property
    def size_may_be_wrong(self) -> bool:
        """Whether another size is no reason to refuse the file: its digest is known, its size only from a site."""
        return self.is_pinned and not self.size_is_certain

    @property
    def is_local(self) -> bool:
        """Whether the manifest names a file of this machine."""
        return bool(self.places) and self.places[0].source == "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A file that is in the store: `path` is the blob, `place` its location (None: the store had it already).

    `taken_from` is the file on this machine that was copied instead of a download, `copied_bytes` the length of it.
    `remote` is the address of the remote that had it.
    """

    want: Want
    sha256: str
    blake3: str | None
    size: int
    path: Path
    fetched_bytes: int = 0
    copied_bytes: int = 0
    place: Reference | None = None
    taken_from: Path | None = None
    remote: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A remote that may have the wanted bytes. `remote` is its address, as it may be shown; it may be a directory.

    `locate` returns where the bytes are now; a URL with a signature is signed anew by each call. It is used up at
    once, and never stored or shown. `failed` hears why the bytes could not be used; it returns what the user should
    know of that, if anything.
    """

    remote: str
    locate: Callable[[], Location]
    failed: Callable[[SynapseError], str | None]
    is_directory: bool = False


#: Inspects a complete and verified file, at rest or in memory, before it is published; returns warnings, raises to
#: prevent it.
Inspect = Callable[[Path | memoryview, Want], Sequence[str]]
#: Returns files on this machine that may have the wanted bytes; each of them is verified.
Nearby = Callable[[Want], Iterable[Path]]
#: Returns the remotes that may have the wanted bytes, in the order in which they are asked; all bytes are verified.
Offers = Callable[[Want], Iterable[Offer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is done at once. `limit_rate` is in bytes per second over all files; None is unlimited.

    `downloads` is the number of files, `connections` that of connections to all hosts, `per_host` to one host.

    A file of at least `split_from` bytes may arrive in ranges of `piece` bytes over up to `streams_per_file`
    connections, while they are together slower than `fast_enough` bytes per second. Whether more connections help
    is measured for `look_every` seconds at least. A host that answers only after `far_from` seconds gets several
    connections before they are measured. A stream that stays below `slowest` bytes per second for `patience`
    seconds is aborted and requested again. Streams and interrupts are checked every `watch_every` seconds.
    """

    downloads: int = 4
    connections: int = 32
    per_host: int = 16
    limit_rate: int | None = None
    split_from: int = 32 << 20
    piece: int = 8 << 20
    streams_per_file: int = 16
    look_every: float = 0.1
    far_from: float = 0.025
    fast_enough: float = 300e6
    slowest: float = 1024.0
    patience: float = 60.0
    watch_every: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The clocks that transfers read, in seconds; a test passes its own.

    `now` never goes back, `worked` is the processor time of this process, `idle` the unused one of all cores if
    known, `today` counts from 1970.
    """

    now: Callable[[], float] = time.monotonic
    worked: Callable[[], float] = time.process_time
    idle: Callable[[], float | None] = idle_seconds
    today: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file from an archive: `name` is its name in there, `filename` a safe path made of it, `size` in bytes."""

    name: str
    filename: str
    size: int
    sha256: str
    blake3: str | None


#: Brings wanted bytes into the store; one answer for each want, in their order. Failures are values.
Fetcher = Callable[[Sequence[Want]], tuple[Got | SynapseError, ...]]
#: Returns the length of a file in bytes without a download; None if its server does not say it.
Measurer = Callable[[Reference], int | None]
#: Returns the first bytes of a file, up to a number; the last argument says, from the very first ones, how many are
#: needed.
Peeker = Callable[[Reference, int, Callable[[bytes], int]], bytes]
#: Brings the members of a fetched archive that match patterns into the store.
Unpacker = Callable[[Got, Sequence[str]], tuple[Member, ...]]


def want_of(
    artifact: Artifact,
    subject: str,
    *,
    allowed: Permissions | None = None,
    names: Sequence[str] = (),
) -> Want:
    """The want for a locked artifact's bytes; `subject` is for messages, `names` are its paths in the trees."""
    return Want(
        key=artifact.sha256,
        places=artifact.locations,
        sha256=artifact.sha256,
        size=artifact.size,
        blake3=artifact.blake3,
        git_sha1=None,
        subject=subject,
        text_ok=documents_expected(artifact.judged_format),
        format=artifact.judged_format,
        allow_pickle=allowed is not None and allowed.pickles,
        allow_code=allowed is not None and allowed.code,
        forbidden={} if allowed is None else allowed.forbidden,
        archive=artifact.archive,
        size_is_certain=artifact.trust is not None,
        source_names=(artifact.filename,),
        names=tuple(names),
    )

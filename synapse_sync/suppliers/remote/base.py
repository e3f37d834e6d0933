"""The protocols of a remote, and all that a remote may know of the rest of synapse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.remote import Remote
from synapse_sync.errors import NetworkError, StatusError, WrongContent
from synapse_sync.sources.base import Location

if TYPE_CHECKING:
    from synapse_sync.net.api import Api
    from synapse_sync.net.credentials import Credentials
    from synapse_sync.net.retries import Retry
    from synapse_sync.net.wire import Wire

#: The statuses of a file, or of a whole repository, that is not there.
ABSENT = frozenset({404, 410})
#: The size of a file that a server has, and whose size it does not say.
UNKNOWN = -1
#: The next step where the file system refuses access to a directory: no other store helps.
ACCESS_HINT = "check who may read and write in that directory, and whether its drive is mounted writable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The means with which a remote is opened.

    `wire`, `api`, `credentials` and `retry` make what they are named after when it is first needed. `environ` are
    the variables, `home` is the user's directory, for the files of the clouds' tools. `allow_http` are the hosts
    to which plain http is allowed, `certificates` the files of certificates that are trusted, each with its origin.
    """

    wire: Callable[[], Wire]
    api: Callable[[], Api]
    credentials: Callable[[], Credentials]
    retry: Callable[[], Retry]
    environ: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None
    allow_http: frozenset[str] = frozenset()
    certificates: tuple[tuple[str, Path], ...] = ()
    offline: bool = False


def size_at(wire: Wire, url: str, absent: frozenset[int]) -> int | None:
    """Ask a server for the size of a file in bytes: `UNKNOWN` if it does not say it, None if it has no such file.

    `absent` are the statuses that say so; a web page of unknown size is no such file either. Raises another
    `StatusError`, or another `NetworkError`.
    """
    try:
        size = wire.size(url)
    except StatusError as error:
        if error.status in absent:
            return None
        raise
    except WrongContent:
        return None
    return UNKNOWN if size is None else size


class TooLarge(NetworkError):
    """An object has more bytes than were asked for."""

    def __init__(self, remote: Remote, path: str, most: int) -> None:
        super().__init__(f"{remote}: {path} has more than {most:,} bytes")


class RemoteStore(Protocol):
    """An open remote: blobs by their SHA-256. All methods may be called from several threads."""

    remote: Remote

    def locate(self, sha256: str) -> Location | None:
        """Return where a blob would be now, signed anew by each call; None if it is surely not there.

        It is not asked whether the blob is there. Raises `SynapseError`.
        """
        ...

    def size(self, sha256: str) -> int | None:
        """Return the size of a blob in bytes, `UNKNOWN` where the server does not say it; None if it is not there.

        Raises `AccessDenied`, `Offline` or another `NetworkError`, or `StorageError`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An object in a remote: its path, its `size` in bytes, and when it was written, in seconds since 1970."""

    path: str
    size: int
    modified: float


@runtime_checkable
class WritableRemote(RemoteStore, Protocol):
    """A remote that blobs can be pushed to. Nothing is visible in it before it is complete."""

    def put(self, sha256: str, chunks: Iterator[bytes], size: int) -> None:
        """Write a blob of `size` bytes; an exception of `chunks` ends that, and leaves nothing visible.

        A blob that is there is replaced. Raises like `size`.
        """
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Write a small object unless there is one, which is not touched; returns whether it was written.

        What is there is not looked at: its bytes may be others.
        """
        ...

    def overwrite(self, path: str, data: bytes) -> None:
        """Write a small object, in the place of one that is there: readers see the one or the other, whole."""
        ...

    def read(self, path: str, most: int) -> bytes:
        """Return a small object of up to `most` bytes; raises `NotFound`, or `TooLarge` for a larger one."""
        ...

    def entries(self, below: str) -> Iterator[Entry]:
        """Yield all objects whose paths begin with `below`."""
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; those that are not there are passed over."""
        ...

    def abort_uploads(self, before: float) -> int | None:
        """Drop what killed pushes left behind, if they began `before` (seconds since 1970).

        Returns how many there were, or None where the kind of remote, or its server, does not list them.
        """
        ...

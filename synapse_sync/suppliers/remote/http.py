"""A plain web server as a remote, which is only read: a copy of a store's `blobs` directory below its address."""

from __future__ import annotations

from urllib.parse import quote

from synapse_sync.core.remote import Remote, blob_path
from synapse_sync.errors import SynapseError
from synapse_sync.sources.base import Location
from synapse_sync.suppliers.remote.base import ABSENT, Means, size_at
from synapse_sync.suppliers.remote.refusals import in_words


class HttpRemote:
    """A remote of files below one address."""

    def __init__(self, remote: Remote, means: Means) -> None:
        self.remote = remote
        self._means = means

    def locate(self, sha256: str) -> Location:
        """The address of a blob, which needs no signature."""
        return Location(f"{self.remote.address}/{quote(blob_path(sha256))}")

    def size(self, sha256: str) -> int | None:
        """Ask with one HEAD for the size of the blob; raises `MayLack` where that is refused with 403."""
        try:
            return size_at(self._means.wire(), self.locate(sha256).url, ABSENT)
        except SynapseError as error:
            raise in_words(self.remote, error) from error


def open_remote(remote: Remote, means: Means) -> HttpRemote:
    """Open a web server as a remote."""
    return HttpRemote(remote, means)

"""A repository of a registry as a remote, which is only read: `synapse push` fills it.

Its blobs are the files themselves where it has model artifacts. An image has other blobs.
"""

from __future__ import annotations

from synapse_sync.core.remote import Remote
from synapse_sync.errors import SynapseError
from synapse_sync.sources.base import Location
from synapse_sync.suppliers.registry import let_in, repository_of
from synapse_sync.suppliers.remote.base import ABSENT, Means, size_at
from synapse_sync.suppliers.remote.refusals import in_words


class RegistryRemote:
    """A remote of blobs in one repository."""

    def __init__(self, remote: Remote, means: Means) -> None:
        self.remote = remote
        self._means = means
        self._repository = repository_of(remote.container, remote.prefix, means.allow_http)
        let_in(self._repository, means.credentials())

    def locate(self, sha256: str) -> Location:
        """The address of a blob; the client for files shows the user's login where the registry wants one."""
        return Location(self._repository.blob(sha256))

    def size(self, sha256: str) -> int | None:
        """Ask with one HEAD for the size of the blob."""
        try:
            return size_at(self._means.wire(), self.locate(sha256).url, ABSENT)
        except SynapseError as error:
            raise in_words(self.remote, error) from error


def open_remote(remote: Remote, means: Means) -> RegistryRemote:
    """Open a repository of a registry as a remote."""
    return RegistryRemote(remote, means)

"""The register of remotes: a module for each kind, loaded when such a remote is first opened."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from synapse_sync.core.remote import Remote, RemoteKind
from synapse_sync.errors import InputError
from synapse_sync.suppliers.remote.base import Means, RemoteStore

#: The module of each kind of remote, which has `open_remote(remote, means)`.
MODULES = {
    RemoteKind.S3: "objects",
    RemoteKind.GOOGLE: "objects",
    RemoteKind.AZURE: "objects",
    RemoteKind.HTTP: "http",
    RemoteKind.DIRECTORY: "directory",
    RemoteKind.OCI: "oci",
}
#: The library that a kind needs, which an extra of the package installs.
LIBRARIES = dict.fromkeys((RemoteKind.S3, RemoteKind.GOOGLE, RemoteKind.AZURE), ("obstore", "remote"))


def unusable(remote: Remote) -> InputError | None:
    """Why no remote of this kind can be opened here, with the next step; None if it can. No request is made."""
    library, extra = LIBRARIES.get(remote.kind, ("", ""))
    if library and find_spec(library) is None:
        return InputError(
            f"{remote}: the library {library} is missing, which such a remote needs",
            hint=f"install it: `pip install 'synapse-sync[{extra}]'`",
        )
    return None


def open_remote(remote: Remote, means: Means) -> RemoteStore:
    """Open a remote; no request is made. Raises `InputError` for one that is unusable here."""
    if (problem := unusable(remote)) is not None:
        raise problem
    module = import_module(f"synapse_sync.suppliers.remote.{MODULES[remote.kind]}")
    store: RemoteStore = module.open_remote(remote, means)
    return store

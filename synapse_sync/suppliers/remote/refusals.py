"""Refusals of remotes: what an answer other than the file means, and the next step."""

from __future__ import annotations

from synapse_sync.core.remote import Remote, RemoteKind
from synapse_sync.errors import AccessDenied, NetworkError, NotFound, Offline, StatusError, SynapseError
from synapse_sync.net.redirects import EndlessRedirects
from synapse_sync.suppliers.remote.base import ABSENT

#: The statuses of a server that does not let somebody in.
_REFUSED = frozenset({401, 403})
_KINDS_WITH_LOGINS = (RemoteKind.HTTP, RemoteKind.OCI)


class MayLack(AccessDenied):
    """A web server refuses a file with 403. Many that do not list say so of a file that they lack, too."""


def in_words(remote: Remote, error: SynapseError) -> SynapseError:
    """Return the error of a remote with the exit code and the next step that it has there; most stay as they are.

    A bucket that may not be listed says 403 of a missing object, and some say 401: those are not changed.
    """
    if isinstance(error, EndlessRedirects):
        return NetworkError(
            error.message, hint="correct the address of the remote; if it is right, ask its administrator"
        )
    if not isinstance(error, StatusError) or error.status not in _REFUSED or remote.kind not in _KINDS_WITH_LOGINS:
        return error
    host = remote.container
    if remote.kind is RemoteKind.OCI:
        return AccessDenied(
            error.message, hint=f"`docker login {host}` or `podman login {host}` keeps a login for it"
        )
    if error.status == 401:
        return AccessDenied(error.message, hint=f"`synapse login {host}` keeps a token for it")
    return MayLack(
        f"{remote} refuses its files, or does not have them (403)",
        hint=f"if it wants a token: `synapse login {host}`",
    )


def is_lack(error: SynapseError) -> bool:
    """Whether an error surely says no more than that a remote does not have the file, or was not asked."""
    return isinstance(error, NotFound | Offline) or (isinstance(error, StatusError) and error.status in ABSENT)


def may_be_lack(error: SynapseError) -> bool:
    """Whether an error, as `in_words` returns it, may only mean that a remote does not have the file."""
    refused = isinstance(error, StatusError) and error.status in _REFUSED
    return is_lack(error) or refused or isinstance(error, MayLack)

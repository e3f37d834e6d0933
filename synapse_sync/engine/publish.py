"""Publish: write the lockfile into a remote, under its digest, so that a collection there keeps its files."""

from __future__ import annotations

import hashlib

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import Lockfile
from synapse_sync.core.lockfile_text import format_lockfile
from synapse_sync.core.remote import Remote, lockfile_path
from synapse_sync.errors import InputError, NotFound
from synapse_sync.suppliers.remote.base import TooLarge, WritableRemote
from synapse_sync.user.places import LOCKFILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A lockfile in a remote: its SHA-256, and whether it is `new` there, or `mended`: other bytes were there."""

    remote: Remote
    sha256: str
    new: bool
    mended: bool = False


def publish(lockfile: Lockfile, remote: WritableRemote) -> Published:
    """Write a lockfile into a remote unless it is there; raises `InputError` for one without models.

    One that is there is read: other bytes under its digest are damaged, and are overwritten.

    Order: the lockfile first, then its files. From here on, no collection of the remote deletes one of them. Its
    text is written anew, so that a checkout with other line ends has the same digest.
    """
    if not lockfile.models:
        raise InputError(f"{LOCKFILE} names no model, so there is nothing to publish", hint="run `synapse lock`")
    data = format_lockfile(lockfile).encode("utf-8")
    sha256 = hashlib.sha256(data).hexdigest()
    path = lockfile_path(sha256)
    if remote.create(path, data):
        return Published(remote=remote.remote, sha256=sha256, new=True)
    mended = not _has(remote, path, data)
    if mended:
        remote.overwrite(path, data)
    return Published(remote=remote.remote, sha256=sha256, new=False, mended=mended)


def _has(remote: WritableRemote, path: str, data: bytes) -> bool:
    """Whether exactly these bytes are there."""
    try:
        return remote.read(path, len(data)) == data
    except (NotFound, TooLarge):  # race: it may have been withdrawn a moment ago
        return False

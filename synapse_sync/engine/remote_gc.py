"""Remote collection: delete the files of a remote that no published lockfile names, after showing which."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import Lockfile, parse_lockfile
from synapse_sync.core.remote import BLOBS, LOCKFILES, Remote, RemoteKind, blob_path, lockfile_path
from synapse_sync.errors import Conflict, InputError, IntegrityError, NetworkError, NotFound, SynapseError
from synapse_sync.store.project_note import RECORDS
from synapse_sync.suppliers.remote.base import Entry, TooLarge, WritableRemote

#: The largest lockfile that is read, in bytes, and how many of them.
_LARGEST = 64 << 20
_MOST = 100_000
#: How many files are deleted before the published lockfiles are listed again.
_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCollection:
    """The files to delete from a remote, of the published `lockfiles` that keep the others.

    `young` is the number of unused files that are kept because they may belong to a push without a lockfile yet.
    """

    remote: Remote
    drop: tuple[Entry, ...]
    lockfiles: frozenset[str]
    in_use: int
    young: int

    @property
    def bytes(self) -> int:
        """The size of the files to delete, in bytes."""
        return sum(entry.size for entry in self.drop)


def plan_remote_collection(remote: WritableRemote, *, before: float) -> RemoteCollection:
    """The blobs that no published lockfile names, and that were written `before` (seconds since 1970).

    Raises `InputError` for a remote without a published lockfile: every file would be unused there. Raises
    `Conflict` for a directory that is the store of a machine, and the error of a lockfile that cannot be read.
    """
    if remote.remote.kind is RemoteKind.DIRECTORY and any(remote.entries(f"{RECORDS}/")):
        raise Conflict(
            f"{remote.remote} is the store of a machine: its projects use the files, and publish no lockfile",
            hint="`synapse store gc` collects a store, on its own machine; give the remote a directory of its own",
        )
    lockfiles = _published(remote)
    if not lockfiles:
        raise InputError(
            f"no lockfile is published in {remote.remote}, so nobody knows which of its files are in use",
            hint="`synapse store publish` publishes one, in each project that uses the remote",
        )
    used = _used(remote, lockfiles)
    unused, in_use = [], 0
    for entry in remote.entries(BLOBS):
        sha256 = entry.path.rpartition("/")[2]
        if not is_sha256(sha256) or entry.path != blob_path(sha256):
            continue  # somebody else's file
        if sha256 in used:
            in_use += 1
        else:
            unused.append(entry)
    old = tuple(sorted((entry for entry in unused if entry.modified < before), key=lambda entry: entry.path))
    return RemoteCollection(
        remote=remote.remote, drop=old, lockfiles=lockfiles, in_use=in_use, young=len(unused) - len(old)
    )


def collect_remote(remote: WritableRemote, plan: RemoteCollection) -> int:
    """Delete the files of a plan; returns the freed bytes.

    Before each batch the published lockfiles are listed again, and what a new one names is kept. Race: a lockfile
    that is published while a batch is deleted comes too late for it; so `store publish` goes before `store push`.
    """
    known, kept, freed = set(plan.lockfiles), set[str](), 0
    for start in range(0, len(plan.drop), _BATCH):
        new = _published(remote) - known
        kept |= _used(remote, new)
        known |= new
        batch = [e for e in plan.drop[start : start + _BATCH] if e.path.rpartition("/")[2] not in kept]
        remote.delete([entry.path for entry in batch])
        freed += sum(entry.size for entry in batch)
    return freed


def _published(remote: WritableRemote) -> frozenset[str]:
    """The digests of the lockfiles in a remote; raises `NetworkError` for an implausible number of them."""
    found: set[str] = set()
    for entry in remote.entries(LOCKFILES):
        sha256 = entry.path.rpartition("/")[2]
        if is_sha256(sha256) and entry.path == lockfile_path(sha256):
            found.add(sha256)
        if len(found) > _MOST:
            raise NetworkError(f"{remote.remote} has more than {_MOST:,} published lockfiles")
    return frozenset(found)


def _used(remote: WritableRemote, lockfiles: Sequence[str] | frozenset[str]) -> set[str]:
    """All digests that these lockfiles name; one that cannot be read stops everything."""
    used: set[str] = set()
    for sha256 in sorted(lockfiles):
        for model in _read(remote, sha256).models:
            for file in model.artifacts:
                used |= {file.sha256, file.given.sha256}
    return used


def _read(remote: WritableRemote, sha256: str) -> Lockfile:
    where = f"{remote.remote}: the published lockfile {sha256[:12]}…"
    damaged = IntegrityError(
        f"{where} has other bytes than its digest says",
        hint="`synapse store publish` in its project mends it; to give it up, delete "
        f"{lockfile_path(sha256)} in the remote",
    )
    try:
        data = remote.read(lockfile_path(sha256), _LARGEST)
    except NotFound:  # it was withdrawn meanwhile
        return Lockfile()
    except TooLarge:  # none of that size is ever published
        raise damaged from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise damaged
    try:
        return parse_lockfile(data.decode("utf-8"))
    except (SynapseError, UnicodeDecodeError) as error:
        raise InputError(
            f"{where} cannot be read: {error}", hint="a newer synapse may have written it: update this one"
        ) from error

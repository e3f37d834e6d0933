"""Collect: find the blobs of the store that no project uses any more, and drop them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from synapse_sync.core.lockfile import parse_lockfile
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.manifest.values import Manifest
from synapse_sync.core.paths import shell_word
from synapse_sync.errors import InputError, SynapseError
from synapse_sync.store import partials, receipt
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import storage_error
from synapse_sync.store.locks import hold, lock_path
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.store.projects import COLLECTION, ProjectRecord, forget_record, identity_of, records
from synapse_sync.user.places import LOCKFILE, MANIFEST, this_system
from synapse_sync.user.small_files import content

#: A blob younger than this (seconds) may belong to a running lock or sync.
GRACE = 3600.0
#: A partial download that nothing touched for this many days is dropped.
_FORGOTTEN = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A blob that no project uses; `size` in bytes, `origin` is the reference that provides it again, or None."""

    sha256: str
    size: int
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The plan of a collection: blobs to drop, unused ones that are kept, the number of used ones, warnings."""

    drop: tuple[Unused, ...] = ()
    irreplaceable: tuple[Unused, ...] = ()
    in_use: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """The space that dropping frees, in bytes."""
        return sum(blob.size for blob in self.drop)


def plan_collection(root: Path, *, irreplaceable: bool = False, now: float | None = None) -> Collection:
    """Find the blobs that no lockfile or receipt of a known project names and that can be downloaded again.

    `root` is the store. With `irreplaceable`, blobs without a known origin are dropped too. `now` is the time in
    seconds since the epoch, by default the clock's. If a project cannot be read, its blobs are unknown, so nothing
    is dropped.
    """
    store = BlobStore(root)
    used: set[str] = set()
    warnings: list[str] = []
    blind = False
    try:
        every = [record for _, record in records(root, all_of_them=True)]
    except OSError as error:
        raise storage_error(error, "reading the projects of the store") from error
    known = {record.project for record in every}
    for record in every:
        advice = f"`synapse store forget {shell_word(record.project, windows=os.name == 'nt')}`"
        try:
            if (doubt := _doubt(record, known)) is not None:
                warnings.append(f"{doubt}, so nothing is dropped; if the project is gone for good, run {advice}")
                blind = True
            elif not Path(record.project).is_dir():
                warnings.append(
                    f"{record.project} is gone and keeps only files in other folders; {advice} forgets it"
                )
            used |= set(_used_by(record))
        except (SynapseError, OSError, UnicodeDecodeError) as error:
            warnings.append(f"{record.project} cannot be read, so nothing is dropped: {error}")
            blind = True
    unreadable = {path.stem for path in (root / "projects").glob("*.json")} - {key for key, _ in records(root)}
    if unreadable:
        warnings.append(f"{root / 'projects'} has unreadable notes of a project, so nothing is dropped")
        blind = True
    now = time.time() if now is None else now
    drop: list[Unused] = []
    kept: list[Unused] = []
    in_use = 0
    for entry in store.entries():
        try:
            age = now - entry.path.stat().st_ctime
        except FileNotFoundError:  # another collection was quicker
            continue
        if entry.sha256 in used or age < GRACE:
            in_use += 1
            continue
        blob = Unused(sha256=entry.sha256, size=entry.size, origin=store.origin(entry.sha256))
        (drop if blob.origin is not None or irreplaceable else kept).append(blob)
    if blind:
        return Collection(in_use=in_use, warnings=tuple(warnings))
    return Collection(drop=tuple(drop), irreplaceable=tuple(kept), in_use=in_use, warnings=tuple(warnings))


def _doubt(record: ProjectRecord, known: AbstractSet[str]) -> str | None:
    """The reason why a project's blobs are unknown; None if they are known.

    A missing lockfile beside a manifest with models does not mean that nothing is wanted, nor does a drive that is
    not mounted. `known` are the directories of all projects.
    """
    project = Path(record.project)
    is_gone = not project.is_dir()
    if is_gone and (doubt := _may_come_back(record, known)) is not None:
        return doubt
    manifest, lockfile = project / MANIFEST, project / LOCKFILE
    if manifest.is_file() and not content(str(lockfile)).strip():
        models = _manifest(manifest).models
        return f"{lockfile} is missing or empty" if models else None
    for root in sorted(record.placed):
        directory = Path(root)
        if is_gone and directory.is_relative_to(project):
            continue  # it was deleted or moved with the project
        if not directory.parent.is_dir() or (directory.is_dir() and not any(directory.iterdir())):
            return f"the files that were placed in {root} cannot be seen (is the drive mounted?)"
    return None


def _may_come_back(record: ProjectRecord, known: AbstractSet[str]) -> str | None:
    """The reason why a missing project may only be out of reach; None if it was deleted or moved.

    It was on the file system whose device the record has. If that one is mounted where the project was, the project
    is gone. Without a known device, the directory above it decides.
    """
    project = Path(record.project)
    above = next(folder for folder in project.parents if folder.is_dir())
    device = record.identity.partition(":")[0]
    if not device and not project.parent.is_dir():
        return f"neither {project} nor the directory above it exists"
    if device and str(above.stat().st_dev) != device:
        return f"{project} is missing, and so is the file system that it was on (is the drive mounted?)"
    # Renamed where it was, and not synced since: its lockfile counts, and nobody knows it by its new name yet.
    for other in above.iterdir() if device else ():
        if str(other) not in known and identity_of(other) == record.identity:
            return f"{project} is {other} now, and was not synced there yet"
    return None


def _manifest(path: Path) -> Manifest:
    """The manifest of another project, as it is for this user and machine."""
    text = content(str(path)).decode("utf-8-sig")
    return parse_manifest(text, str(path), system=this_system(), environ=os.environ)


def _used_by(record: ProjectRecord) -> Iterator[str]:
    """Every digest in a project's lockfile and receipts; a project that is gone has receipts only."""
    text = content(str(Path(record.project) / LOCKFILE)).decode("utf-8-sig")
    if text.strip():
        for model in parse_lockfile(text).models:
            yield from (artifact.sha256 for artifact in model.artifacts)
    for root in {Path(root) for root in record.every_root.values()}:
        yield from receipt.all_digests(root)


def collect(root: Path, plan: Collection, on_wait: Callable[[str], None] | None = None) -> int:
    """Drop the blobs of a plan that are still unused; returns the freed bytes.

    `root` is the store, `on_wait` is called with a line about a process that has to be waited for. Leftovers of
    crashes are removed, too: temporary files, and partial downloads that were not resumed for two weeks. Raises
    `StorageError`.
    """
    store = BlobStore(root)
    store.sweep()
    partials.sweep(root, _FORGOTTEN)
    PreviewCache(root).sweep()
    with hold(lock_path(root, COLLECTION), "collecting what the store needs no more", on_wait=on_wait):
        still = {blob.sha256 for blob in plan_collection(root, irreplaceable=True).drop}
        return sum(store.remove(blob.sha256) for blob in plan.drop if blob.sha256 in still)


def forget(root: Path, directory: Path) -> None:
    """Forget a project: its files are no longer kept by a collection, until it is synced again.

    `root` is the store, `directory` the project's, which need not exist. Raises `InputError` for a project that the
    store does not know, and `StorageError`.
    """
    known = {record.project: key for key, record in records(root)}
    key = known.get(str(directory)) or known.get(os.path.realpath(directory))
    if key is None:
        names = ", ".join(f"`{name}`" for name in sorted(known)[:8])
        raise InputError(f"the store knows no project in {directory}", hint=f"it knows {names}" if names else None)
    forget_record(root, key)

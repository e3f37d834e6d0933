"""Collect: find the blobs of the store that no project uses any more, and drop them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import field, replace
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import parse_lockfile
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.manifest.values import Manifest
from synapse_sync.core.paths import shell_word
from synapse_sync.errors import InputError, SynapseError
from synapse_sync.store import partials, receipt
from synapse_sync.store.answers import forget_answers
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import storage_error
from synapse_sync.store.locks import hold, lock_path
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.store.project_note import RECORDS
from synapse_sync.store.projects import COLLECTION, ProjectRecord, forget_record, identity_of, records
from synapse_sync.store.refused import Aside, drop_refused, in_quarantine
from synapse_sync.store.several import device_of
from synapse_sync.user.places import LOCKFILE, MANIFEST, this_system
from synapse_sync.user.small_files import content

#: A blob younger than this (seconds) may belong to a running lock or sync.
GRACE = 3600.0
#: A partial download that nothing touched for this many days is dropped.
_FORGOTTEN = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A blob to drop or to keep; `size` in bytes, `origin` is the reference that provides it again, or None.

    `store` is the root of its store. `also` is another store that has the blob, where it is needed, or None.
    """

    sha256: str
    size: int
    origin: str | None = None
    store: Path | None = None
    also: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The plan of a collection: blobs to drop, unused ones that are kept, the number of used ones, warnings.

    `refused` are downloads to drop from quarantine: their bytes were not the wanted ones. `users` has the digests
    that each known project uses, by its directory.
    """

    drop: tuple[Unused, ...] = ()
    refused: tuple[Aside, ...] = ()
    irreplaceable: tuple[Unused, ...] = ()
    in_use: int = 0
    warnings: tuple[str, ...] = ()
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The space that dropping frees, in bytes."""
        return sum(blob.size for blob in self.drop) + sum(each.size for each in self.refused)


def plan_collection(
    root: Path,
    *,
    others: Sequence[Path] = (),
    irreplaceable: bool = False,
    now: float | None = None,
    at_once: bool = False,
) -> Collection:
    """Find the blobs that no lockfile or receipt of a known project names and that can be downloaded again.

    `root` is the main store, `others` are those on other volumes. A blob that is used on other volumes only is
    dropped, too, if their stores have it. With `irreplaceable`, so are blobs without a known origin. `now` is the
    time in seconds since the epoch, by default the clock's. If a project cannot be read, its blobs are unknown, so
    no blob is dropped. With `at_once`, the age of a blob or of a refused download does not count.
    """
    places = (root, *others)
    uses = _Uses(places)
    warnings: list[str] = []
    blind = False
    every = _projects(places)
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
            uses.add(record)
        except (SynapseError, OSError, UnicodeDecodeError) as error:
            warnings.append(f"{record.project} cannot be read, so nothing is dropped: {error}")
            blind = True
    for place in places:
        if {path.stem for path in (place / RECORDS).glob("*.json")} - {key for key, _ in records(place)}:
            warnings.append(f"{place / RECORDS} has unreadable notes of a project, so nothing is dropped")
            blind = True
    now = math.inf if at_once else time.time() if now is None else now
    found = _sorted_out(uses, now, irreplaceable=irreplaceable)
    if blind:
        found = Collection(in_use=found.in_use)
    # No project ever uses these, whatever the others need.
    old = (each for place in places for each in in_quarantine(place) if now - each.since >= GRACE)
    refused = tuple(each for each in old if each.is_refused)
    return replace(found, refused=refused, warnings=tuple(warnings), users=uses.by_project)


def _sorted_out(uses: _Uses, now: float, *, irreplaceable: bool) -> Collection:
    """The blobs of all stores: those to drop, those to keep, and the number of those in use."""
    drop: list[Unused] = []
    kept: list[Unused] = []
    in_use = 0
    for store, entry in ((each, entry) for each in uses.stores for entry in each.entries()):
        try:
            age = now - entry.path.stat().st_ctime
        except FileNotFoundError:  # another collection was quicker
            continue
        used = entry.sha256 in uses.everywhere
        also = uses.needed_instead(store, entry.sha256) if used and age >= GRACE else None
        if (used and also is None) or age < GRACE:
            in_use += 1
            continue
        origin = store.origin(entry.sha256)
        blob = Unused(sha256=entry.sha256, size=entry.size, origin=origin, store=store.root, also=also)
        (drop if also is not None or origin is not None or irreplaceable else kept).append(blob)
    return Collection(drop=tuple(drop), irreplaceable=tuple(kept), in_use=in_use)


class _Uses:
    """The blobs that projects use, and each store those that are needed on its volume.

    `everywhere` are all of them, `by_project` those of each project by its directory.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self.stores = [BlobStore(place) for place in places]
        self.everywhere: set[str] = set()
        self.by_project: dict[str, frozenset[str]] = {}
        self._needed: dict[Path, set[str]] = {store.root: set() for store in self.stores}

    def add(self, record: ProjectRecord) -> None:
        """Note the blobs of a project; raises what reading its files raises."""
        used = frozenset(_used_by(record))
        self.everywhere |= used
        self.by_project[record.project] = used
        for root in self._volumes(record):
            self._needed[root] |= used

    def _volumes(self, record: ProjectRecord) -> set[Path]:
        """The stores on whose volumes a project has targets; all of them where that is not certain."""
        every = {store.root for store in self.stores}
        roots = [Path(root) for root in record.every_root.values()]
        if len(every) == 1 or not roots or not all(root.is_dir() for root in roots):
            return every
        if any(value["how"] == "symlink" for root in roots for value in receipt.all_values(root)):
            return every  # a link may lead to the blob of any store
        main = self.stores[0].root
        volumes = {device_of(store.root): store.root for store in reversed(self.stores)}
        # Files may be behind directory links, on other volumes than the root.
        folders = {*roots, *map(Path, (record.links or {}).values())}
        return {volumes.get(device_of(folder), main) for folder in folders}

    def needed_instead(self, store: BlobStore, sha256: str) -> Path | None:
        """Another store that has a blob where it is needed, if it is not needed in this one; else None."""
        if sha256 in self._needed[store.root]:
            return None
        having = (other for other in self.stores if other is not store and sha256 in self._needed[other.root])
        return next((other.root for other in having if other.has(sha256)), None)


def _projects(places: Sequence[Path]) -> list[ProjectRecord]:
    """The projects that any of the stores remembers; the first store knows best. Raises `StorageError`."""
    found: dict[str, ProjectRecord] = {}
    try:
        for place in places:
            for key, record in records(place, all_of_them=True):
                found.setdefault(key, record)
    except OSError as error:
        raise storage_error(error, "reading the projects of the store") from error
    return list(found.values())


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


def sweep(root: Path, *, others: Sequence[Path] = ()) -> None:
    """Remove the leftovers of crashes: temporary files, and partial downloads that nothing resumed for two weeks.

    `root` is the main store, `others` are those on other volumes. Nothing is waited for.
    """
    for place in (root, *others):
        BlobStore(place).sweep()
        partials.sweep(place, _FORGOTTEN)
    PreviewCache(root).sweep()


def collect(
    root: Path,
    plan: Collection,
    on_wait: Callable[[str], None] | None = None,
    *,
    others: Sequence[Path] = (),
    at_once: bool = False,
) -> int:
    """Drop the blobs of a plan that are still unused; returns the freed bytes.

    `root` is the main store, `others` are those on other volumes. `on_wait` is called with a line about a process
    that has to be waited for. Leftovers of crashes are removed, too: temporary files, and partial downloads that
    were not resumed for two weeks. With `at_once`, a blob's age does not count. Then all known projects are held: a
    blob that one of them has just downloaded is in no lockfile yet. Raises `StorageError`.
    """
    sweep(root, others=others)
    doing = "collecting what the store needs no more"
    with ExitStack() as held:
        # Projects first and the collection last, as every sync does; in one order, so that two collections do not
        # wait for each other.
        keys = sorted({key for place in (root, *others) for key, _ in records(place)}) if at_once else ()
        for key in keys:
            held.enter_context(hold(lock_path(root, f"project-{key}"), doing, on_wait=on_wait))
        held.enter_context(hold(lock_path(root, COLLECTION), doing, on_wait=on_wait))
        now = plan_collection(root, others=others, irreplaceable=True, at_once=at_once)
        still = {(blob.store, blob.sha256) for blob in now.drop}
        drop = [blob for blob in plan.drop if (blob.store, blob.sha256) in still]
        freed = sum(BlobStore(blob.store or root).remove(blob.sha256) for blob in drop)
        return freed + sum(drop_refused(each) for each in now.refused if each in plan.refused)


def forget(root: Path, directory: Path, *, others: Sequence[Path] = ()) -> None:
    """Forget a project: its files are no longer kept by a collection, until it is synced again.

    `root` is the main store, `others` are those on other volumes. `directory` is the project's, which need not
    exist. Raises `InputError` for a project that the stores do not know, and `StorageError`.
    """
    known = {record.project: key for place in (root, *others) for key, record in records(place)}
    key = known.get(str(directory)) or known.get(os.path.realpath(directory))
    if key is None:
        names = ", ".join(f"`{name}`" for name in sorted(known)[:8])
        raise InputError(f"the store knows no project in {directory}", hint=f"it knows {names}" if names else None)
    for place in (root, *others):
        forget_record(place, key)
    forget_answers(root, key)

"""The projects that use this store: their directories, their targets, and the last completed state of each."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.store.durable import make_dirs, storage_error, write_atomic
from synapse_sync.store.project_note import RECORDS, note_path, read_note
from synapse_sync.store.receipt_index import directory_of, receipt_paths

#: The lock under which unused blobs are dropped, and under which a sync notes the project that uses some.
COLLECTION = "collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRecord:
    """One project; `roots` maps target names to absolute directories, `complete` is a fingerprint or None.

    `placed` are the roots in which files were placed, whether the last sync succeeded or not. `mounts` are the
    mount points of those that were on a mounted drive: see `mount_point`. `absent` are the roots of former targets
    that could not be reached, perhaps on a drive that is not mounted. `identity` is the device and inode of the
    directory: by it a renamed project is known again. `above` are those of the directories above it, the next one
    first, and `host` is the name of the machine: see `is_gone`. `variables` are the variables of the environment
    that the roots depend on, with their values then. `links` are the directory links that the user knows to be
    followed, by full path with the real path they lead to; None in records of versions that noted none.
    """

    project: str
    roots: Mapping[str, str]
    complete: str | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    placed: frozenset[str] = frozenset()
    mounts: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    asked: bool = True
    variables: Mapping[str, str | None] = field(default_factory=dict)
    links: Mapping[str, str] | None = None
    host: str = ""
    above: tuple[str, ...] = ()

    @property
    def every_root(self) -> dict[str, str]:
        """All roots that may hold files of this project, reachable now or not."""
        return {**self.absent, **self.roots}


def located(record: ProjectRecord) -> ProjectRecord:
    """The record with the facts by which it can be known later whether its project was renamed or deleted."""
    project = Path(record.project)
    above = tuple(identity_of(folder) for folder in project.parents)
    return replace(record, identity=identity_of(project), above=above, host=_this_machine())


def is_gone(record: ProjectRecord) -> bool:
    """Whether the directory of a project was deleted, or moved to another folder, as far as that can be known.

    Not if it may be on another machine, on a drive that is not mounted, or beside its old path under a new name.
    """
    project = Path(record.project)
    if not record.host or record.host != _this_machine() or os.path.lexists(project):
        return False
    for folder, identity in zip(project.parents, record.above, strict=False):
        try:
            found = folder.stat()
            # The nearest directory that still exists must be the one that it was: a mount point is another one.
            return identity == f"{found.st_dev}:{found.st_ino}" and not _has_child(folder, record.identity)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # a folder of another user: it cannot be known
            return False
    return False


def _has_child(folder: Path, identity: str) -> bool:
    """Whether a directory contains the one with this device and inode; raises `OSError`."""
    inode = identity.rpartition(":")[2]
    with os.scandir(folder) as found:
        return any(str(item.inode()) == inode and identity_of(Path(item.path)) == identity for item in found)


def mounts_of(placed: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """The mount point of each placed root that is on a mounted drive.

    `known` are those noted before. They stay for roots without receipts: their drive is not here now.
    """
    here = {root: Path(directory_of(root)).is_dir() for root in placed}
    found = {root: mount_point(root) if here[root] else known.get(root, "") for root in placed}
    return {root: mount for root, mount in found.items() if mount}


def mount_point(root: str) -> str:
    """The directory where the drive of `root` is mounted; empty for the system's own drive.

    A path and no device number: the number of one drive differs from start to start.
    """
    folder = os.path.realpath(root)
    found = (str(each) for each in (Path(folder), *Path(folder).parents) if each != each.parent)
    return next((each for each in found if os.path.ismount(each)), "")


def _this_machine() -> str:
    import platform  # takes a millisecond to import

    return platform.node()


def identity_of(project: Path) -> str:
    """The device and inode of a project's directory, in one text; empty if it cannot be looked at."""
    try:
        found = project.stat()
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def read_record(store: Path, key: str) -> ProjectRecord | None:
    """The record of a project, or None; an unreadable record counts as missing."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        data = read_note(store, key)
        roots = {str(name): str(root) for name, root in data["roots"].items()}
        absent = {str(name): str(root) for name, root in data.get("absent", {}).items()}
        complete = data.get("complete")
        # Records of older versions do not have `placed`; after a complete sync all their roots had files.
        placed = data.get("placed", list(roots.values()) if complete is not None else [])
        links = data.get("links")
        return ProjectRecord(
            project=str(data["project"]),
            roots=roots,
            complete=complete,
            absent=absent,
            placed=frozenset(str(root) for root in placed),
            mounts={str(root): str(mount) for root, mount in data.get("mounts", {}).items()},
            identity=str(data.get("identity", "")),
            host=str(data.get("host", "")),
            above=tuple(str(identity) for identity in data.get("above", ())),
            asked=data.get("asked") is True,
            links=None if links is None else {str(link): str(to) for link, to in links.items()},
            variables=dict(data.get("variables", {})),
        )
    return None


def write_record(store: Path, key: str, record: ProjectRecord) -> None:
    """Remember a project; raises `StorageError`."""
    data = {
        "project": record.project,
        "roots": dict(record.roots),
        "complete": record.complete,
        "absent": dict(record.absent),
        "placed": sorted(record.placed),
        **({"mounts": dict(record.mounts)} if record.mounts else {}),
        "identity": record.identity,
        "host": record.host,
        "above": list(record.above),
        "asked": record.asked,
        "links": None if record.links is None else dict(record.links),
        **({"variables": dict(record.variables)} if record.variables else {}),
    }
    path = Path(note_path(store, key))
    try:
        make_dirs(path.parent)
    except OSError as error:
        raise storage_error(error, "making the store's directory") from error
    write_atomic(path, json.dumps(data, indent=1, sort_keys=True).encode())


def roots_near(project: Path, key: str) -> dict[str, str]:
    """The directories in a project, or one level deeper, with receipts of this key, by target name."""
    found: dict[str, str] = {}
    first = _folders_in(str(project))
    for root in (*first, *(folder for above in first for folder in _folders_in(above))):
        with contextlib.suppress(OSError):
            for path in receipt_paths(root, key):
                found[Path(path).stem.removeprefix(f"receipt-{key}-")] = root
    return found


def _folders_in(folder: str) -> list[str]:
    """The directories in a directory, links to some included; none if it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_dir()]
    return []


def forget_record(store: Path, key: str) -> None:
    """Forget a project; raises `StorageError`."""
    path = Path(note_path(store, key))
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, f"removing {path}") from error


def records(store: Path, *, all_of_them: bool = False) -> Iterator[tuple[str, ProjectRecord]]:
    """Every project that the store remembers.

    A directory that this user may not read counts as empty, as in an image that another user made. Raises `OSError`
    for it if `all_of_them` are needed.
    """
    try:
        names = sorted(path.name for path in (store / RECORDS).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        if all_of_them:
            raise
        return
    for key in (name.removesuffix(".json") for name in names if name.endswith(".json")):
        record = read_record(store, key)
        if record is not None:
            yield key, record

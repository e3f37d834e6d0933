"""Disk use: look at the store and the trees of a project, and say what each model takes and what can be deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

from synapse_sync.core.disk_use import Duplicate, HeldFile, ModelUse, duplicates, uses_by_model
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import ADOPTED, BESIDE, CLAIMED, TAKEN, LinkMode
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Observed, State
from synapse_sync.engine.collect import Collection
from synapse_sync.engine.survey import Survey
from synapse_sync.engine.unmanaged import Unmanaged
from synapse_sync.project import Project
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.ownership import Tree, is_outside

#: The receipt's words for files that were there before synapse; None is for one that was not adopted yet. Then all
#: words for files that may have blocks of their own: a hard link has, where the store lost its blob.
_FOUND = frozenset({ADOPTED, TAKEN, CLAIMED, None})
_OWN_BLOCKS = _FOUND | {LinkMode.COPY, LinkMode.MOVE, LinkMode.HARDLINK, BESIDE}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """The bytes that the models of a project occupy on this machine, and those that can be deleted.

    `size` are the bytes of all locked files together, each once, and `on_disk` those of all copies that are here.
    `copied` and `found` are the roots of the targets with duplicates that synapse copied there, and that it found
    there. `unused` is the plan that drops from the store what nobody uses.
    """

    models: tuple[ModelUse, ...]
    size: int
    on_disk: int
    copied: tuple[str, ...]
    found: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    unmanaged: tuple[Unmanaged, ...]
    unused: Collection

    @property
    def spare(self) -> int:
        """The bytes that are freed if each file stays once."""
        return sum(each.spare for each in self.duplicates)

    def to_dict(self) -> dict[str, Any]:
        """Return what can be deleted as `--json` prints it."""
        return {
            "size": self.size,
            "on_disk": self.on_disk,
            "only_one_model_uses": sum(use.alone for use in self.models),
            "unmanaged": [each.to_dict() for each in self.unmanaged],
            "duplicates": [each.to_dict() for each in self.duplicates],
            "reclaimable_in_store": self.unused.bytes,
            "warnings": list(self.unused.warnings),
        }


def disk_use(
    project: Project,
    models: Sequence[LockedModel],
    survey: Survey,
    unmanaged: Sequence[Unmanaged],
    store: BlobStore,
    unused: Collection,
) -> DiskUse:
    """Return the disk use of these models: by names, sizes and stat only, no file is read.

    `models` are those in scope, `survey` is theirs. `unused` says of every project which digests it uses.
    """
    chosen = {model.name for model in models}
    rest = {a.sha256 for model in project.lockfile.models if model.name not in chosen for a in model.artifacts}
    here = str(project.directory)
    # The first lock of a project comes before the store knows it.
    ours = rest | {artifact.sha256 for model in models for artifact in model.artifacts}
    unused = replace(unused, drop=tuple(blob for blob in unused.drop if blob.sha256 not in ours or blob.also))
    elsewhere = rest.union(*(digests for other, digests in unused.users.items() if other != here))
    wanted = {artifact.sha256: artifact.size for model in models for artifact in model.artifacts}
    held = tuple(_held(survey, store, wanted.keys()))
    twice = duplicates(held)
    roots = {name: tree.target.root for name, tree in survey.trees.items()}
    in_trees = [(roots[file.key[0]], file) for each in twice for file in each.files if file.key is not None]
    return DiskUse(
        models=uses_by_model(models, held, elsewhere),
        size=sum(wanted.values()),
        on_disk=sum(file.size for file in held),
        copied=tuple(dict.fromkeys(root for root, file in in_trees if not file.was_there)),
        found=tuple(dict.fromkeys(root for root, file in in_trees if file.was_there)),
        duplicates=twice,
        unmanaged=tuple(unmanaged),
        unused=unused,
    )


def _held(survey: Survey, store: BlobStore, wanted: AbstractSet[str]) -> Iterator[HeldFile]:
    """The files with these bytes, each inode once: blobs of the store, and files of their own in the trees."""
    blobs: dict[str, list[Path]] = {}
    for entry in store.entries():
        if entry.sha256 in wanted:
            blobs.setdefault(entry.sha256, []).append(entry.path)
            yield HeldFile(sha256=entry.sha256, size=entry.size)
    seen: dict[str, set[tuple[int, int] | None]] = {}
    for key, found in survey.observed.items():
        sha256 = found.sha256
        if sha256 is None or sha256 not in wanted or not _has_own_blocks(found):
            continue
        if sha256 not in seen:
            seen[sha256] = {None, *(_inode(path) for path in blobs.get(sha256, ()))}
        tree = survey.trees[key[0]]
        inode = _inode(tree.root / key[1])
        if inode not in seen[sha256]:
            seen[sha256].add(inode)
            yield HeldFile(
                sha256=sha256,
                size=found.size,
                key=key,
                was_there=found.how in _FOUND,
                is_yours=_is_yours(found, tree, key[1]),
            )


def _has_own_blocks(found: Observed) -> bool:
    return found.state in (State.PLACED, State.FOREIGN) and found.how in _OWN_BLOCKS


def _is_yours(found: Observed, tree: Tree, path: str) -> bool:
    """Whether a file stays when nobody wants it: outside of the project, to adopt is no licence to remove."""
    kept = found.how in (ADOPTED, None) and is_outside(tree, SafePath(path))
    return kept or found.theirs or found.how == CLAIMED


def _inode(path: Path) -> tuple[int, int] | None:
    """The device and the inode of a file; None if it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

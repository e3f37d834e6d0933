"""Disk use: what each locked model occupies on this machine, and which bytes are there more than once. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.plan import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFile:
    """A file on this machine with blocks of its own, whose bytes are those of a locked artifact.

    `key` is its target and path there; None is for a blob of the store. `size` is in bytes. `was_there` says that
    synapse found the file and did not place it, `is_yours` that it is still the user's, and never removed.
    """

    sha256: str
    size: int
    key: Key | None = None
    was_there: bool = False
    is_yours: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the file as `--json` prints it; `target` and `path` are null for a blob of the store."""
        target, path = (None, None) if self.key is None else self.key
        return {"target": target, "path": path, "size": self.size, "yours": self.is_yours}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """The bytes of one model: in its locked files, on disk with all copies, and on disk for this model alone.

    `alone` are the bytes that removing the model frees: no other model and no other project uses them, and they are
    no files of the user's own.
    """

    name: str
    size: int
    on_disk: int
    alone: int

    def to_dict(self) -> dict[str, Any]:
        """Return the use as `--json` prints it."""
        return {"name": self.name, "size": self.size, "on_disk": self.on_disk, "only_it_uses": self.alone}


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Files with the same bytes, each with blocks of its own."""

    sha256: str
    files: tuple[HeldFile, ...]

    @property
    def spare(self) -> int:
        """The bytes that are freed if one of the files stays."""
        return sum(file.size for file in self.files) - max(file.size for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Return the files as `--json` prints them."""
        files = [file.to_dict() for file in self.files]
        return {"sha256": self.sha256, "spare_bytes": self.spare, "files": files}


def uses_by_model(
    models: Sequence[LockedModel], held: Iterable[HeldFile], elsewhere: AbstractSet[str]
) -> tuple[ModelUse, ...]:
    """The bytes of each model, in their order.

    `held` are the files on this machine, `elsewhere` the digests that other projects or models out of scope use.
    """
    on_disk: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    for file in held:
        on_disk[file.sha256] += file.size
        ours[file.sha256] += 0 if file.is_yours else file.size
    digests = [{artifact.sha256: artifact.size for artifact in model.artifacts} for model in models]
    users = Counter(sha256 for each in digests for sha256 in each)
    return tuple(
        ModelUse(
            name=model.name,
            size=sum(each.values()),
            on_disk=sum(on_disk[sha256] for sha256 in each),
            alone=sum(ours[sha256] for sha256 in each if users[sha256] == 1 and sha256 not in elsewhere),
        )
        for model, each in zip(models, digests, strict=True)
    )


def duplicates(held: Iterable[HeldFile]) -> tuple[Duplicate, ...]:
    """The bytes that are on this machine more than once, those that free most first."""
    by_digest: dict[str, list[HeldFile]] = {}
    for file in held:
        by_digest.setdefault(file.sha256, []).append(file)
    found = [Duplicate(sha256=key, files=tuple(files)) for key, files in by_digest.items() if len(files) > 1]
    return tuple(sorted(found, key=lambda each: (-each.spare, each.sha256)))

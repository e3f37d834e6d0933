"""The layout of the Hugging Face cache: its paths for a repository's files, and its note of each branch. Pure.

`models--OWNER--NAME/snapshots/COMMIT/FILE` is what the hub's own library opens offline, and
`models--OWNER--NAME/refs/BRANCH` contains the commit of a branch (`huggingface_hub`, "Understand caching", 2026).
Where links cannot be made, that library keeps files in `snapshots` itself, without `blobs`; so does synapse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.companion import Companion, made_from
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Placement

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def snapshot_path(artifact: Artifact) -> SafePath | None:
    """The path of a file below the cache; None for a file that is in no repository of the hub.

    Raises `UnsafeName` for names that no file system accepts.
    """
    place = artifact.url
    if (
        place.source != "huggingface"
        or place.file is None
        or place.revision is None
        or artifact.archive is not None
    ):
        return None
    if _COMMIT.match(place.revision) is None:
        return None
    return SafePath(f"{_repository(place.id)}/snapshots/{place.revision}/{place.file}")


def branch_notes(entry: Requirement, model: LockedModel, placements: Sequence[Placement]) -> Iterator[Companion]:
    """The note of the branch that a model follows, in each target; `placements` are its paths in caches of the hub.

    A model whose reference names a commit needs none. Raises `UnsafeName` for names that no file system accepts.
    """
    branch = entry.reference.revision or "main"
    first = {placement.target: placement for placement in reversed(placements)}
    for placement in first.values():
        place = placement.artifact.url
        if place.revision is None or _COMMIT.match(branch) is not None:
            continue
        yield Companion(
            target=placement.target,
            path=SafePath(f"{_repository(place.id)}/refs/{branch}"),
            beside=placement.path,
            kind="ref",
            made=made_from("ref", place.revision),
            model=model,
            artifact=placement.artifact,
            content=place.revision.encode(),  # without a line break: the library compares the whole file
        )


def _repository(name: str) -> str:
    return f"models--{name.replace('/', '--')}"

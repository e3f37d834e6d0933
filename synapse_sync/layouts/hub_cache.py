"""The layout of the Hugging Face cache: its paths for a repository's files, and its note of each branch. Pure.

The hub's own library opens `models--OWNER--NAME/snapshots/COMMIT/FILE` offline, a link to `blobs/ETAG`, which has
the bytes. `refs/BRANCH` contains the commit of a branch (`huggingface_hub`, "Understand caching", 2026).
Where links cannot be made, that library keeps files in `snapshots` itself, without `blobs`; so does synapse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.companion import Companion, made_from
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Placement

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
#: The kinds of repositories that are no models, as their references begin and as their folders do.
_KINDS = ("datasets", "spaces")


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


def blob_path(artifact: Artifact) -> SafePath:
    """The path of a file's bytes below the cache, by the name that the hub has for them, its ETag.

    That is the SHA-256 of a large file, and git's hash of one that git stores. A lockfile without git's hash has
    the SHA-256 alone: the library then fetches that small file anew when it is online.
    """
    return SafePath(f"{_repository(artifact.url.id)}/blobs/{artifact.git_sha1 or artifact.sha256}")


def cached(target: str, model: str, artifact: Artifact, link_mode: LinkMode, *, links: bool) -> list[Placement]:
    """The placements of a file in a cache: the link of its commit, then its bytes; none for a file of another site.

    Without `links`, the file itself is in the folder of its commit.
    """
    if (path := snapshot_path(artifact)) is None:
        return []
    here = Placement(target=target, path=path, model=model, artifact=artifact, link_mode=link_mode)
    if not links:
        return [here]
    blob = blob_path(artifact)
    return [replace(here, leads_to=blob), replace(here, path=blob, known_as=path)]


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
    kind, _, rest = name.partition("/")
    if kind not in _KINDS or "/" not in rest:
        kind, rest = "models", name
    return f"{kind}--{rest.replace('/', '--')}"

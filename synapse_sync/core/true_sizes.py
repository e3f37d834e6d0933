"""True sizes: a size that a site said is corrected once the bytes with the right digest are here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.lockfile import LockedModel, Lockfile


def with_true_sizes(lockfile: Lockfile, true_size: Callable[[str, int], int | None]) -> Lockfile:
    """The lockfile with the sizes that files really have; the same object if all of them are right already.

    `true_size(sha256, said)` returns the size in bytes of verified bytes if it is another than `said`, else None.
    """

    def corrected(artifact: Artifact) -> Artifact:
        if (size := true_size(artifact.sha256, artifact.size)) is not None:
            artifact = replace(artifact, size=size)
        archive = artifact.archive
        if archive is not None and (size := true_size(archive.sha256, archive.size)) is not None:
            artifact = replace(artifact, archive=replace(archive, size=size))
        return artifact

    changed: dict[str, LockedModel] = {}
    for model in lockfile.models:
        artifacts = tuple(map(corrected, model.artifacts))
        if (
            artifacts != model.artifacts
        ):  # nearly never, and then tuples of the same objects are compared in no time
            changed[model.name] = replace(model, artifacts=artifacts)
    if not changed:
        return lockfile
    return replace(lockfile, models=tuple(changed.get(model.name, model) for model in lockfile.models))


def wrong_sizes(said: Lockfile, true: Lockfile, *, corrected: bool, known: Collection[str] = ()) -> list[str]:
    """A warning for each file with another size in `said` than in `true`.

    `corrected` says that the lockfile will be written; `known` are digests of files that were warned about.
    """
    pairs = ((model, before, after) for model, other in zip(said.models, true.models, strict=True)
             for before, after in zip(model.artifacts, other.artifacts, strict=True))  # fmt: skip
    end = "synapse.lock was corrected" if corrected else "`synapse lock` corrects synapse.lock"
    return [
        f"`{model.name}`: {before.filename} has {after.size} bytes, not {before.size} as was locked; "
        f"its digest is right, so it is used, and {end}"
        for model, before, after in pairs
        if before.size != after.size and before.sha256 not in known
    ]

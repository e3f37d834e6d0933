"""Outdated: the versions that `lock --upgrade` would lock, and the newest ones. Nothing is written or fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from synapse_sync.core.artifact import Artifact, Candidate, ModelCard
from synapse_sync.core.instant import instant_text, is_older
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.values import Requirement, WorkspaceOptions
from synapse_sync.core.reference import Reference
from synapse_sync.engine.choose import ask_all, choose, held_back, question
from synapse_sync.errors import NetworkError, SynapseError
from synapse_sync.sources.base import Ask, Resolved, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One version: its reference, and the facts that distinguish it from others."""

    reference: Reference
    version: str | None = None
    base_model: str | None = None
    published: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One requirement compared with its site.

    `current` is its pin, `allowed` the version that `lock --upgrade` would lock, `newest` the site's default
    version; each is None if it is not known. `held` is the reason why the last two differ, `error` why they are
    unknown.
    """

    name: str
    policy: str
    current: Pin | None = None
    allowed: Pin | None = None
    newest: Pin | None = None
    outdated: bool = False
    held: str | None = None
    error: SynapseError | None = None


def standings(
    entries: Sequence[Requirement],
    lockfile: Lockfile,
    options: WorkspaceOptions,
    *,
    sources: Mapping[str, Source],
    exclude_newer: datetime | None = None,
) -> tuple[Standing, ...]:
    """Compare every requirement with its site; each source is asked once. Unlocked ones have no `current`."""
    known = {model.name: model for model in lockfile.models}
    locked = {e.name: known[e.name] for e in entries if e.name in known and known[e.name].requirement == e.text}
    answers = ask_all(_questions(entries, locked, exclude_newer), sources)
    return tuple(
        _standing(
            entry,
            locked[entry.name],
            answers.get(_allowed(entry)),
            answers.get(_newest(entry)),
            options,
            exclude_newer or entry.exclude_newer,
        )
        if entry.name in locked
        else Standing(name=entry.name, policy=entry.policy)
        for entry in entries
    )


def _allowed(entry: Requirement) -> str:
    return f"allowed {entry.name}"


def _newest(entry: Requirement) -> str:
    return f"newest {entry.name}"


def _questions(
    entries: Sequence[Requirement], locked: Mapping[str, LockedModel], exclude_newer: datetime | None
) -> Iterator[tuple[str, Ask]]:
    for entry in entries:
        if (old := locked.get(entry.name)) is None:
            continue
        if entry.policy != "pinned":
            ask = question(entry, old, anew=True, exclude_newer=exclude_newer, key=_allowed(entry))
            yield entry.reference.source, ask
        at = old.reference
        if at.revision is not None and at.id:
            # A branch is asked for by its name. A version is not: there may be newer ones.
            branch = (
                None if entry.reference.pinned or entry.reference.source != at.source else entry.reference.revision
            )
            yield at.source, Ask(key=_newest(entry), reference=Reference(at.source, at.id, branch))


def _standing(
    entry: Requirement,
    old: LockedModel,
    allowed: Resolved | SynapseError | None,
    newest: Resolved | SynapseError | None,
    options: WorkspaceOptions,
    exclude_newer: datetime | None,
) -> Standing:
    current = _pin(old.reference, old.card)
    taken, outdated = current, False
    error: SynapseError | None = None
    if allowed is not None:
        try:
            chosen = choose(entry, allowed, options)
        except SynapseError as problem:
            error = problem.about(entry.name)
        else:
            if held_back(entry, old, chosen.resolved) is None:
                outdated = not _same_files(old.artifacts, chosen.candidates)
                taken = _pin(chosen.resolved.reference, chosen.resolved.card)
    top = _pin(newest.reference, newest.card) if isinstance(newest, Resolved) else None
    if error is None and isinstance(newest, NetworkError):
        error = newest.about(entry.name)
    return Standing(
        name=entry.name,
        policy=entry.policy,
        current=current,
        allowed=None if error is not None else taken,
        newest=top,
        outdated=outdated,
        held=_held(entry, current, taken, top, exclude_newer) if top is not None and error is None else None,
        error=error,
    )


def _pin(reference: Reference, card: ModelCard) -> Pin:
    return Pin(reference=reference, version=card.version_name, base_model=card.base_model, published=card.published)


def _same_files(old: Sequence[Artifact], new: Sequence[Candidate]) -> bool:
    """Whether an upgrade would lock the same bytes, as far as the site says without a download."""
    if len(new) == 1 and all(artifact.archive is not None for artifact in old):
        return all(_same_archive(artifact, new[0]) for artifact in old)
    before = {artifact.filename: artifact for artifact in old}
    if before.keys() != {candidate.filename for candidate in new}:
        return False
    return all(_same(before[candidate.filename], candidate) for candidate in new)


def _same(old: Artifact, new: Candidate) -> bool:
    if new.sha256 is not None:
        return new.sha256 == old.sha256
    return new.url == old.url and new.size in (None, old.size)


def _same_archive(old: Artifact, new: Candidate) -> bool:
    """Whether an extracted file would come from the same archive."""
    assert old.archive is not None
    if new.sha256 is not None:
        return new.sha256 == old.archive.sha256
    return new.url == old.url and new.size in (None, old.archive.size)


def _held(entry: Requirement, current: Pin, taken: Pin, top: Pin, exclude_newer: datetime | None) -> str | None:
    """The reason why an upgrade does not lock the newest version; None if it does, or if none is newer."""
    if top.reference.revision in (taken.reference.revision, current.reference.revision):
        return None
    if is_older(top.published, taken.published):
        return None
    if entry.policy == "pinned":
        return "policy is pinned"
    if entry.reference.pinned:
        return "pinned in synapse.toml"
    if top.reference.revision in {str(number) for number in entry.ignore}:
        return "on the ignore list"
    if entry.policy == "same-base" and current.base_model not in (None, top.base_model):
        return f"for {top.base_model or 'another base model'}, not {current.base_model}"
    if exclude_newer is not None:
        return f"newer than {instant_text(exclude_newer)}"
    return None

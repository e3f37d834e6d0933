"""Lock: requirements in, a lockfile out. Only changes since the last lock cost requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from synapse_sync.core.freshness import Change, stale_entries
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.values import Requirement, WorkspaceOptions
from synapse_sync.core.reference import Reference
from synapse_sync.engine.choose import Chosen, ask_all, choose, question
from synapse_sync.engine.heal import Place
from synapse_sync.engine.pin import pin
from synapse_sync.errors import StatusError, SynapseError, WrongContent, raise_all
from synapse_sync.sources.base import Resolved, Source, raise_in_words
from synapse_sync.transfer.want import Fetcher, Measurer, Unpacker


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The result of a lock: the new lockfile, its changes, warnings, and new mirrors that `--heal` found."""

    lockfile: Lockfile
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    healed: tuple[Place, ...] = ()


def lock(
    entries: Sequence[Requirement],
    old: Lockfile,
    options: WorkspaceOptions,
    *,
    sources: Mapping[str, Source],
    fetch: Fetcher,
    measure: Measurer,
    unpack: Unpacker,
    upgrade: Collection[str] = (),
    exclude_newer: datetime | None = None,
) -> Locked:
    """Resolve stale requirements, keep the other pins, and drop models that are no longer declared.

    `entries` are the requirements of the manifest, `old` is the last lockfile, `options` is `[workspace]`.
    `upgrade` names requirements that may move. `exclude_newer` is in UTC. Each source gets all
    its questions at once. Raises all failures together; then nothing is locked.
    """
    before = {model.name: model for model in old.models}
    upgrade = {e.name for e in entries if e.name in upgrade and e.policy != "pinned"}
    stale = stale_entries(entries, old, upgrade)
    answers = ask_all(
        (
            (
                e.reference.source,
                question(e, before.get(e.name), anew=e.name in upgrade, exclude_newer=exclude_newer),
            )
            for e in stale
        ),
        sources,
    )
    chosen = _choose_all(stale, answers, options)
    resolved, warnings = pin(chosen, before, upgrade, options, fetch, _explained(measure, sources), unpack)
    models = {e.name: resolved.get(e.name) or before[e.name] for e in entries}
    after = replace(old, models=tuple(sorted(models.values(), key=lambda model: model.name)))
    return Locked(lockfile=after, changes=_changes(before, models), warnings=tuple(warnings))


def _choose_all(
    stale: Sequence[Requirement], answers: Mapping[str, Resolved | SynapseError], options: WorkspaceOptions
) -> list[Chosen]:
    """Choose files for every stale requirement; raises all failures together."""
    errors: list[SynapseError] = []
    chosen: list[Chosen] = []
    for entry in stale:
        try:
            chosen.append(choose(entry, answers[entry.name], options))
        except SynapseError as error:
            errors.append(error.about(entry.name))
    raise_all(errors)
    return chosen


def _explained(measure: Measurer, sources: Mapping[str, Source]) -> Measurer:
    """Wrap `measure`: a server's refusal is raised in the words of its source."""

    def asked(reference: Reference) -> int | None:
        try:
            return measure(reference)
        except (StatusError, WrongContent) as error:
            raise_in_words(sources[reference.source], reference, error)

    return asked


def _changes(before: Mapping[str, LockedModel], after: Mapping[str, LockedModel]) -> tuple[Change, ...]:
    """The differences between two sets of locked models, by name."""
    changes = [
        Change(kind="added", name=name, after=model.reference)
        for name, model in after.items()
        if name not in before
    ]
    changes += [
        Change(kind="removed", name=name, before=model.reference)
        for name, model in before.items()
        if name not in after
    ]
    changes += [
        Change(kind="changed", name=name, before=before[name].reference, after=model.reference)
        for name, model in after.items()
        if name in before and model != before[name]
    ]
    return tuple(sorted(changes, key=lambda change: change.name))

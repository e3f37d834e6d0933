"""Freshness: which entries of a manifest a lockfile answers, and the diff of two lockfiles as lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from synapse_sync.core.lockfile import Lockfile
from synapse_sync.core.manifest.values import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of the lock's diff: `kind` is added, removed or changed."""

    kind: str
    name: str
    before: str | None = None
    after: str | None = None


def stale_entries(
    entries: Sequence[Requirement], lockfile: Lockfile, upgrade: Collection[str] = ()
) -> list[Requirement]:
    """The entries whose requirement the lockfile does not answer, or that are to be upgraded."""
    known = {model.name: model.requirement for model in lockfile.models}
    return [e for e in entries if known.get(e.name) != e.text or e.name in upgrade]


def missing_changes(entries: Sequence[Requirement], lockfile: Lockfile) -> tuple[Change, ...]:
    """What a lock would have to do: answer stale entries, drop what nobody declares any more."""
    stale = [Change(kind="changed", name=entry.name) for entry in stale_entries(entries, lockfile)]
    names = {entry.name for entry in entries}
    return (*stale, *(Change(kind="removed", name=m.name) for m in lockfile.models if m.name not in names))

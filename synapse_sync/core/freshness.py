"""Freshness: compare the requirements of a manifest with the pins of a lockfile. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.values import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of the lock's diff: `kind` is added, removed, changed or renamed.

    `before` and `after` are references, and for a renamed model the two names.
    """

    kind: str
    name: str
    before: str | None = None
    after: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """Return the change as `--json` prints it."""
        return {"kind": self.kind, "name": self.name, "before": self.before, "after": self.after}


def stale_entries(
    entries: Sequence[Requirement], lockfile: Lockfile, upgrade: Collection[str] = ()
) -> list[Requirement]:
    """The requirements without an up-to-date pin, and those named in `upgrade`."""
    known = {model.name: model.requirement for model in lockfile.models}
    return [e for e in entries if known.get(e.name) != e.text or e.name in upgrade]


def expected(entries: Sequence[Requirement], lockfile: Lockfile) -> list[Requirement]:
    """The requirements that a lockfile has to answer: all but optional ones that could not be locked so far."""
    known = {model.name for model in lockfile.models}
    return [entry for entry in entries if not entry.optional or entry.name in known]


def unlocked(entries: Sequence[Requirement], lockfile: Lockfile) -> list[str]:
    """Names of requirements without any pin: their files are unknown."""
    known = {model.name for model in lockfile.models}
    return [entry.name for entry in entries if entry.name not in known]


def undeclared(entries: Sequence[Requirement], lockfile: Lockfile) -> list[str]:
    """Names of pins that no requirement of the whole manifest has."""
    names = {entry.name for entry in entries}
    return [model.name for model in lockfile.models if model.name not in names]


def with_renamed(entries: Sequence[Requirement], lockfile: Lockfile) -> Lockfile:
    """The lockfile with the pins of renamed models under their new names, besides all others.

    `entries` are the requirements of the manifest. A pin is free if the requirement of its name is about another
    reference, or does not exist. It moves to a name that asks the same, or else to one with the same reference.
    """
    known = {model.name: model for model in lockfile.models}
    settled = {e.name for e in entries if e.name in known and _is_about(known[e.name], e)}
    if len(settled) in (len(entries), len(known)):
        return lockfile  # every requirement has its pin, or no pin is free
    moved: dict[str, LockedModel] = {}
    used: set[str] = set()
    for exact in (True, False):
        free: dict[str, deque[LockedModel]] = {}
        for model in lockfile.models:
            if model.name not in settled and model.name not in used:
                free.setdefault(model.requirement if exact else _subject(model), deque()).append(model)
        for entry in entries if free else ():
            pins = free.get(entry.text if exact else str(entry.reference))
            if pins and entry.name not in settled and entry.name not in moved:
                pin = pins.popleft()
                used.add(pin.name)
                moved[entry.name] = replace(pin, name=entry.name)
    return replace(lockfile, models=tuple({**known, **moved}.values())) if moved else lockfile


def _is_about(pin: LockedModel, entry: Requirement) -> bool:
    """Whether a pin answers this requirement, or another one about the same reference."""
    return pin.requirement == entry.text or _subject(pin) == str(entry.reference)


def _subject(pin: LockedModel) -> str:
    """The reference that a pin answers: the beginning of its requirement."""
    return pin.requirement.partition("; ")[0]


def missing_changes(entries: Sequence[Requirement], lockfile: Lockfile) -> tuple[Change, ...]:
    """The changes that a lock would make: resolve stale requirements, drop undeclared pins."""
    stale = [Change(kind="changed", name=entry.name) for entry in stale_entries(entries, lockfile)]
    return (*stale, *(Change(kind="removed", name=name) for name in undeclared(entries, lockfile)))

"""Licenses: the terms of the locked models, each with the day of the commit that first has them as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from synapse_sync.core.licenses import Terms, terms_of
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.engine.revision import git, lockfile_at
from synapse_sync.errors import InputError, InvalidLockfile
from synapse_sync.project import Project
from synapse_sync.user.places import LOCKFILE

#: How many commits are looked at, each a handful of processes of git: the day is then that of the oldest of them.
_MOST = 200


def licenses(project: Project) -> tuple[Terms, ...]:
    """Return the terms of every locked model; outside a git repository, without the days."""
    locked = project.lockfile
    days = _days(project, locked)
    return tuple(replace(terms_of(model), seen=days.get(model.name)) for model in locked.models)


def _days(project: Project, locked: Lockfile) -> dict[str, str]:
    """The day since which the commits have the terms of each model as they are, by the model's name."""
    known = {model.name: model for model in locked.models if model.card.license}
    days: dict[str, str] = {}
    for day, committed in _history(project):
        before = {model.name: model for model in committed.models}
        known = {name: model for name, model in known.items() if _same_terms(model, before.get(name))}
        if not known:
            break
        days.update(dict.fromkeys(known, day))
    return days


def _same_terms(model: LockedModel, before: LockedModel | None) -> bool:
    """Whether a commit has the same model with the same terms; another version of it may have others."""
    return (
        before is not None
        and before.reference == model.reference
        and dict(before.card.license) == dict(model.card.license)
    )


def _history(project: Project) -> Iterator[tuple[str, Lockfile]]:
    """The lockfiles of the last commits that changed it, the newest first, each with its day."""
    try:
        log = git(
            project.directory, "log", "--format=%H %cs", "-n", str(_MOST), "--", f"./{LOCKFILE}", about=LOCKFILE
        )
        for line in log.decode().splitlines():
            commit, _, day = line.partition(" ")
            yield day, lockfile_at(project, commit).lockfile
    except (InputError, InvalidLockfile):
        return  # no repository, no git, no commit yet, or a lockfile of another kind: the days before are unknown

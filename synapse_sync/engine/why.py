"""Why: the model, requirement, target and origin that put a file where it is, or why it is not ours. Looks only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.names import declared_name
from synapse_sync.engine.declared_bytes import DeclaredBytes
from synapse_sync.engine.survey import Survey
from synapse_sync.errors import InputError
from synapse_sync.project import Project
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.known_digests import KnownDigests
from synapse_sync.store.ownership import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The answer about one file: the chain that put it there, as far as it goes.

    `path` is relative to the root of `target`, or the whole path of a file outside of all targets. `kind` is
    "model", "preview" or "sidecar"; `state` and `how` are those of the file, as `show` has them. `reason` says in
    words what is not plain from the chain, such as why synapse does not manage the file.
    """

    path: str
    target: str | None = None
    root: str | None = None
    kind: str = "model"
    state: str | None = None
    how: str | None = None
    model: str | None = None
    requirement: str | None = None
    reference: str | None = None
    groups: tuple[str, ...] = ()
    origin: str | None = None
    sha256: str | None = None
    reason: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether a model of this project wants the file."""
        return self.requirement is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as `synapse why --json` prints it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"groups": list(self.groups)}


def why(
    project: Project,
    file: Path,
    directory: Path,
    survey: Survey,
    store: BlobStore,
    declared: DeclaredBytes,
    known: KnownDigests,
) -> tuple[Why, ...]:
    """Explain one file, by its path below `directory`; a name alone may mean several wanted files.

    `survey` is of the whole project, and so are the `declared` bytes. A file that could be one of these is hashed,
    unless `known` knows it.

    Raises `InputError` for a path at which nothing is and nothing is wanted.
    """
    explain = _Explainer(project, survey, declared, known)
    place = Path(os.path.abspath(directory / file))  # noqa: PTH100 - a link itself is meant, not what it leads to
    answers = [explain.at(name, path) for name, path in _inside(place, survey.trees)]
    found = [answer for answer in answers if answer is not None]
    if found:
        return tuple(found)
    if os.path.lexists(place):
        if (blob := _digest_in(place, store)) is not None:
            return (explain.blob(place, blob),)
        return (explain.stranger(place, _inside(place, survey.trees)),)
    named = tuple(explain.named(place.name)) if file.name == str(file) else ()
    if not named and file.name == str(file) and explain.declares(file.name):
        raise InputError(
            f"no file has the name `{file}`: it is a model's",
            hint=f"`synapse show {file}` tells what is known of it",
        )
    if not named:
        raise InputError(
            f"{place}: no such file, and no model wants one there", hint="`synapse tree` lists all paths"
        )
    return named


def _inside(place: Path, trees: Mapping[str, Tree]) -> list[tuple[str, str]]:
    """The targets that a path is in, with the path relative to the root; also through a link above it."""
    real = Path(os.path.realpath(place.parent)) / place.name
    found: dict[tuple[str, str], None] = {}
    for name, tree in trees.items():
        for path, root in ((place, tree.root), (real, Path(os.path.realpath(tree.root)))):
            if path.is_relative_to(root):
                found[name, path.relative_to(root).as_posix()] = None
    return list(found)


def _digest_in(place: Path, store: BlobStore) -> str | None:
    """The SHA-256 of a blob of the store, by its path; None for any other file."""
    name = place.name
    return name if is_sha256(name) and store.has(name) and store.path(name).samefile(place) else None


class _Explainer:
    """The facts of one project about paths."""

    def __init__(self, project: Project, survey: Survey, declared: DeclaredBytes, known: KnownDigests) -> None:
        self._survey, self._declared, self._digests = survey, declared, known
        self._entries = {entry.name: entry for entry in project.manifest.entries()}
        self._locked = {model.name: model for model in project.lockfile.models}
        self._placements = {placement.key: placement for placement in survey.arrangement.placements}
        self._companions = {companion.key: companion for companion in survey.companions}

    def declares(self, name: str) -> bool:
        """Whether a model has this name."""
        return any(name in (entry.name, entry.model) for entry in self._entries.values())

    def at(self, target: str, path: str) -> Why | None:
        """The answer for a path of a target that is wanted or listed; None for any other."""
        key, tree = (target, path), self._survey.trees[target]
        if (placement := self._placements.get(key)) is not None:
            return self._of_model(key, placement.model, "model", placement.artifact.sha256)
        if (companion := self._companions.get(key)) is not None:
            return self._of_model(key, companion.model.name, companion.kind, None)
        entry = tree.receipt.entries.get(path)
        if entry is None:
            return None
        gone = f"synapse placed it for `{entry.model}`, which is not wanted here any more: the next sync removes it"
        return Why(path=path, target=target, root=tree.target.root, model=entry.model, how=entry.how,
                   sha256=entry.sha256, reason=gone)  # fmt: skip

    def _of_model(self, key: tuple[str, str], name: str, kind: str, sha256: str | None) -> Why:
        entry, model = self._entries.get(name), self._locked.get(name)
        seen, tree = self._survey.observed.get(key), self._survey.trees[key[0]]
        return Why(
            path=key[1],
            target=key[0],
            root=tree.target.root,
            kind=kind,
            state=None if seen is None else seen.state.value,
            how=None if seen is None else seen.how,
            model=declared_name(name),
            requirement=_line(entry, model),
            reference=None if model is None else model.reference.text,
            groups=() if entry is None else entry.groups,
            origin=None if entry is None else entry.origin,
            sha256=sha256,
            reason=None if seen is None else seen.detail,
        )

    def named(self, name: str) -> Iterator[Why]:
        """The answers for all wanted files of a name."""
        for target, path in (*self._placements, *self._companions):
            if path.rpartition("/")[2] == name and (found := self.at(target, path)) is not None:
                yield found

    def blob(self, place: Path, sha256: str) -> Why:
        """The answer for a file of the store."""
        models = {m.model: m for m in self._locked.values() for a in m.artifacts if a.given.sha256 == sha256}
        if not models:
            reason = "it is in the store, and no model of this project has these bytes"
            return Why(path=str(place), sha256=sha256, reason=reason)
        name, model = next(iter(models.items()))
        names = ", ".join(f"`{each}`" for each in models)
        return Why(path=str(place), model=name, requirement=model.requirement, reference=model.reference.text,
                   sha256=sha256, reason=f"it is in the store: the bytes of {names}")  # fmt: skip

    def stranger(self, place: Path, inside: list[tuple[str, str]]) -> Why:
        """The answer for an existing file that no model wants and no receipt of this project lists."""
        if not inside:
            return Why(path=str(place), reason="it is outside of all targets of this project")
        target, path = inside[0]
        tree = self._survey.trees[target]
        if path in tree.beside:
            reason = f"another project placed it, for `{tree.beside[path][0].model}`"
            return Why(path=path, target=target, root=tree.target.root, reason=reason)
        reason = "no model wants it, and synapse did not place it: it is your own"
        own = Why(path=path, target=target, root=tree.target.root, reason=reason)
        return self._same_bytes(place, own) or own

    def _same_bytes(self, place: Path, own: Why) -> Why | None:
        """The answer for a user's own file that has the bytes of a model in its target; None for any other."""
        target, declared = own.target or "", self._declared
        try:
            if not place.is_file() or not declared.has_size(target, place.stat().st_size):
                return None
            sha256 = self._digests.of(place)
        except OSError:
            return None
        if (owner := declared.owner(target, sha256)) is None:
            return None
        name = declared_name(owner.model)
        copied = f"it is your own, with the bytes of `{name}`, whose file is at {owner.path}"
        return replace(own, model=name, sha256=sha256, reason=declared.moved(target, sha256) or copied)


def _line(entry: Requirement | None, model: LockedModel | None) -> str | None:
    """The requirement as one line: as the manifest has it now, else as it was locked."""
    return entry.text if entry is not None else None if model is None else model.requirement

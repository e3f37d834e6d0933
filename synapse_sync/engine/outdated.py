"""Outdated: the versions that `lock --upgrade` would lock, and the newest ones. Nothing is written or downloaded.

A site without digests says a length at most: another one is a change, the same one leaves the question open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from synapse_sync.core.artifact import Artifact, Candidate, ModelCard
from synapse_sync.core.drift import Drift, card_drift, drift_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.instant import instant_text, is_older
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.values import Requirement, WorkspaceOptions
from synapse_sync.core.reference import Reference
from synapse_sync.engine.choose import Chosen, ask_all, choose, held_back, question
from synapse_sync.engine.lock import explained
from synapse_sync.engine.pin import Sizes, lacks_ending, measured
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import NetworkError, SynapseError
from synapse_sync.sources.base import Ask, Resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One version: its reference, and the facts that distinguish it from others."""

    reference: Reference
    version: str | None = None
    base_model: str | None = None
    published: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the version as `--json` prints it."""
        return {
            "reference": str(self.reference),
            "version": self.version,
            "base_model": self.base_model,
            "published": self.published,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One requirement compared with its site.

    `current` is its pin, `allowed` the version that `lock --upgrade` would lock, `newest` the site's default
    version; each is None if it is not known. `outdated` means that an upgrade would lock other bytes (`replaced`),
    another base or another licence. `changes` says what differs, names included. `held` is the reason why `allowed`
    and `newest` differ, `error` why they are unknown. `unsure` means that only a download could show whether the
    files changed.
    """

    name: str
    policy: str
    current: Pin | None = None
    allowed: Pin | None = None
    newest: Pin | None = None
    outdated: bool = False
    replaced: bool = False
    unsure: bool = False
    changes: tuple[Drift, ...] = ()
    held: str | None = None
    error: SynapseError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as `synapse outdated --json` prints it."""
        return {
            "name": self.name,
            "policy": self.policy,
            "locked": None if self.current is None else self.current.to_dict(),
            "allowed": None if self.allowed is None else self.allowed.to_dict(),
            "newest": None if self.newest is None else self.newest.to_dict(),
            "outdated": self.outdated,
            "unsure": self.unsure,
            "changes": [change.to_dict() for change in self.changes],
            "held": self.held,
            "error": None if self.error is None else self.error.to_dict(),
        }

    def __repr__(self) -> str:
        state = "failed" if self.error is not None else "outdated" if self.outdated else "newest that fits"
        return f"<Standing {self.name}: {state if self.current is not None else 'not locked'}>"


def standings(
    entries: Sequence[Requirement],
    lockfile: Lockfile,
    options: WorkspaceOptions,
    tools: Tools,
    *,
    exclude_newer: datetime | None = None,
) -> tuple[Standing, ...]:
    """Compare every requirement with its site; each source is asked once. Unlocked ones have no `current`.

    A file without a digest and a size is asked for its length, unless its host needs a consent that is missing.
    """
    known = {model.name: model for model in lockfile.models}
    locked = {e.name: known[e.name] for e in entries if e.name in known and known[e.name].requirement == e.text}
    answers = ask_all(_questions(entries, locked, exclude_newer), tools.sources)
    chosen = {e.name: _chosen(e, answers[_allowed(e)], options) for e in entries if _allowed(e) in answers}
    lengths = _lengths(chosen.values(), tools)
    return tuple(
        _standing(
            entry,
            locked[entry.name],
            chosen.get(entry.name),
            answers.get(_newest(entry)),
            lengths,
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


def _chosen(
    entry: Requirement, answer: Resolved | SynapseError, options: WorkspaceOptions
) -> Chosen | SynapseError:
    try:
        return choose(entry, answer, options)
    except SynapseError as problem:
        return problem.of(entry.name)


def _lengths(chosen: Iterable[Chosen | SynapseError], tools: Tools) -> Sizes:
    """The lengths of the files of which nothing else is known, by their locations."""
    items = [item for item in chosen if isinstance(item, Chosen) and any(map(_is_unsized, item.candidates))]
    if tools.offline or not items:
        return {}
    open_ones = [item for item in items if not tools.trust.missing(tools.trust.declared([item.entry]))]
    places = [_places(item.entry, file) for item in open_ones for file in item.candidates if _is_unsized(file)]
    return measured(places, explained(tools.transfers().measure, tools.sources)) if places else {}


def _is_unsized(file: Candidate) -> bool:
    return file.sha256 is None and file.git_sha1 is None and file.size is None


def _places(entry: Requirement, file: Candidate) -> tuple[Reference, ...]:
    return (file.url, *entry.mirrors)


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
    chosen: Chosen | SynapseError | None,
    newest: Resolved | SynapseError | None,
    lengths: Sizes,
    exclude_newer: datetime | None,
) -> Standing:
    current = taken = _pin(old.reference, old.card)
    upgrade = _Upgrade()
    error: SynapseError | None = None
    if isinstance(chosen, SynapseError):
        error = chosen
    elif chosen is not None:
        try:
            upgrade = _upgrade(chosen, old, lengths)
        except SynapseError as problem:
            error = problem.copy().of(entry.name)  # several models may want this file
        if not upgrade.kept:
            taken = _pin(chosen.resolved.reference, chosen.resolved.card)
    top = _pin(newest.reference, newest.card) if isinstance(newest, Resolved) else None
    if error is None and isinstance(newest, NetworkError):
        error = newest.of(entry.name)
    return Standing(
        name=entry.name,
        policy=entry.policy,
        current=current,
        allowed=None if error is not None else taken,
        newest=top,
        outdated=error is None and upgrade.matters,
        replaced=error is None and upgrade.same is _Same.NO,
        unsure=error is None and upgrade.same is _Same.UNSURE,
        changes=upgrade.changes,
        held=_held(entry, current, taken, top, exclude_newer) if top is not None and error is None else None,
        error=error,
    )


def _pin(reference: Reference, card: ModelCard) -> Pin:
    return Pin(reference=reference, version=card.version_name, base_model=card.base_model, published=card.published)


class _Same(Enum):
    """Whether an upgrade would lock the same bytes; `UNSURE` where only a download could show it."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


#: Changes of facts that are worth an upgrade; a name alone is not, since an upgrade keeps it.
_WEIGHTY = frozenset({"relicensed", "rebased"})


@dataclass(frozen=True, slots=True)
class _Upgrade:
    """The effect of an upgrade: `same` is about the bytes, `kept` means that the policy leaves all as it is."""

    same: _Same = _Same.YES
    changes: tuple[Drift, ...] = ()
    kept: bool = False

    @property
    def matters(self) -> bool:
        facts = not self.kept and any(each.kind in _WEIGHTY for each in self.changes)
        return self.same is _Same.NO or facts


def _upgrade(chosen: Chosen, old: LockedModel, lengths: Sizes) -> _Upgrade:
    """Compare the chosen files and their site's facts with the lock. Raises like `_same_files`."""
    same, changes = _same_files(chosen, old.artifacts, lengths), _changes(chosen, old, lengths)
    if held_back(chosen.entry, old, chosen.resolved, replaced=same is not _Same.YES) is None:
        return _Upgrade(same, changes)
    moved = chosen.resolved.reference.revision != old.reference.revision
    return _Upgrade(changes=() if moved else changes, kept=True)


def _changes(chosen: Chosen, old: LockedModel, lengths: Sizes) -> tuple[Drift, ...]:
    """The changes of an upgrade beside the version; the names and bytes of another version are no news."""
    resolved = chosen.resolved
    if resolved.reference.revision != old.reference.revision:
        return tuple(change for change in card_drift(old, resolved.card) if change.kind in _WEIGHTY)
    known = {places[0]: size for places, size in lengths.items() if isinstance(size, int)}
    own_name = chosen.entry.filename is not None
    return tuple(drift_of(old, resolved.card, chosen.candidates, known, own_name=own_name))


def _same_files(chosen: Chosen, old: Sequence[Artifact], lengths: Sizes) -> _Same:
    """Whether an upgrade would lock the same files, as far as the site says it without a download.

    Raises the error of a file whose length could not be asked for: an upgrade would fail as well.
    """
    entry, new = chosen.entry, chosen.candidates
    if len(new) == 1 and old and all(artifact.archive is not None for artifact in old):
        return _same(entry, old[0], new[0], lengths)
    if len(new) == len(old) == 1 and not chosen.resolved.take_all:  # its name stays, see `names_kept`
        return _same(entry, old[0], new[0], lengths)
    before = {artifact.filename: artifact for artifact in old}
    pairs = [(before.get(_locked_name(file, old)), file) for file in new]
    if len(before) != len(new) or len({id(artifact) for artifact, _ in pairs}) != len(new):
        return _Same.NO
    found = [_Same.NO if artifact is None else _same(entry, artifact, file, lengths) for artifact, file in pairs]
    return next((each for each in (_Same.NO, _Same.UNSURE) if each in found), _Same.YES)


def _locked_name(file: Candidate, old: Sequence[Artifact]) -> str:
    """The name of a file in the lockfile: the content may have added the ending that its address lacks."""
    if lacks_ending(file):
        for artifact in old:
            if artifact.url == file.url and artifact.filename.rpartition(".")[0] == file.filename:
                return artifact.filename
    return file.filename


def _same(entry: Requirement, old: Artifact, new: Candidate, lengths: Sizes) -> _Same:
    """Whether a site still offers the bytes of a locked file, or of the archive that it is in."""
    given = old.given
    if new.sha256 is not None:
        return _Same.YES if new.sha256 == given.sha256 else _Same.NO
    if new.git_sha1 is not None and new.git_sha1 == given.git_sha1:
        return _Same.YES
    if new.url != old.url:
        return _Same.NO
    length = lengths.get(_places(entry, new)) if new.size is None else new.size
    if isinstance(length, SynapseError):
        raise length
    if length not in (None, given.size):
        return _Same.NO
    fixed = entry.sha256 is not None or new.git_sha1 is not None or new.url.source == "path"
    return _Same.YES if fixed else _Same.UNSURE


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
    known = None not in (current.base_model, top.base_model)
    if entry.policy == "same-base" and known and current.base_model != top.base_model:
        return f"for {top.base_model}, not {current.base_model}"
    if exclude_newer is not None:
        return f"newer than {instant_text(exclude_newer)}"
    return None

"""The plan: a pure comparison of wanted and observed paths. `status`, `--dry-run`, `--json` and `sync` show it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from synapse_sync.core.artifact import Artifact, stem_of
from synapse_sync.core.companion import Companion
from synapse_sync.core.edited_sidecars import EditedSidecars
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import ADOPTED, BESIDE, CLAIMED, TAKEN, WITHIN, LinkMode
from synapse_sync.core.names import SafePath

Key = tuple[str, str]  # (target name, path text)
#: The placement of a sidecar that existed before, or that somebody changed: it is never removed.
MERGED = "merged"
_BEFORE = "it was there before synapse, and is yours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One wanted path of an artifact in a target.

    With `leads_to`, the path is a relative link to that other path of the target, which has the bytes. `known_as`
    is the path by which programs find a file whose own name says nothing.
    """

    target: str
    path: SafePath
    model: str
    artifact: Artifact
    link_mode: LinkMode = LinkMode.AUTO
    leads_to: SafePath | None = None
    known_as: SafePath | None = None

    @property
    def key(self) -> Key:
        """The identity of the path among all targets."""
        return (self.target, self.path.text)

    @property
    def link(self) -> str:
        """The text of the relative link that this path is to be; empty if it is to be a file."""
        if self.leads_to is None:
            return ""
        up, parts = len(self.path.parts) - 1, self.leads_to.parts
        shared = next(n for n in range(up + 1) if n == up or self.path.parts[n] != parts[n])
        return "/".join([*[".."] * (up - shared), *parts[shared:]])

    def accepts(self, found: Observed) -> bool:
        """Whether a file with the right bytes may remain, by the way in which it was placed."""
        if self.leads_to is None:
            return self.link_mode.accepts(found.how)
        if found.how == WITHIN:
            return (found.link or "").replace("\\", "/") == self.link
        return found.how in (BESIDE, ADOPTED, TAKEN, CLAIMED)


class State(StrEnum):
    """The state of a path."""

    ABSENT = "absent"  # nothing is there, and the receipt does not list it
    MISSING = "missing"  # synapse placed it; it is gone, or the link leads to nothing
    PLACED = "placed"  # synapse placed it, and it is unchanged
    ALTERED = "altered"  # synapse placed it; somebody changed or replaced it
    FOREIGN = "foreign"  # a regular file that synapse did not place
    OBSTRUCTED = "obstructed"  # no regular file, or a path whose way is barred


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The file at one path.

    `sha256` is that of the placed file (PLACED, MISSING) or of the content found, where known.
    """

    state: State
    sha256: str | None = None
    size: int = 0
    how: str | None = None
    model: str | None = None
    link: str | None = None  # the text of the symbolic link that synapse placed
    made: str | None = None  # the digest of the facts behind a companion
    shared: bool = False  # another project lists the path too, or another target wants it
    real: str | None = None  # its real directory, if the way leads through a link
    spelled: str | None = None  # another spelling of the same path: the listed one of a wanted path, or the reverse
    own_source: bool = False  # changed, and the only place that its model comes from: its wanted bytes are gone
    theirs: bool = False  # adopted, or to be adopted, and still the user's own: neither replaced nor removed
    detail: str | None = None

    @property
    def is_edited(self) -> bool:
        """Whether somebody changed the file since, or a sidecar was there before."""
        return self.state is State.ALTERED or (self.state is State.PLACED and self.how == MERGED)


class Verb(StrEnum):
    """The kinds of actions on one path or one blob."""

    FETCH = "fetch"  # download into the store
    SALVAGE = "salvage"  # copy into the store from another place on this machine
    PLACE = "place"
    REPLACE = "replace"
    ADOPT = "adopt"  # the right bytes are there: list them in the receipt
    WRITE = "write"  # a preview or a sidecar beside the weights
    MERGE = "merge"  # a sidecar that others wrote or changed: add the missing keys
    PRUNE = "prune"
    FORGET = "forget"  # gone, or wanted by another target or project: drop it from the receipt
    KEEP = "keep"  # unwanted, but changed by somebody: stays, dropped from the receipt
    CONFLICT = "conflict"  # wanted, but a file of somebody else is in the way: stays, reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action. FETCH and SALVAGE concern a blob, all others a path in a target."""

    verb: Verb
    model: str
    sha256: str
    size: int
    target: str = ""
    path: str = ""
    link_mode: LinkMode = LinkMode.AUTO
    leads_to: str = ""  # the path of the same target that this one is to be a link to, by `link`
    link: str = ""
    known_as: str = ""  # the path by which programs know it, if that is another one
    reason: str | None = None
    artifact: Artifact | None = None
    companion: Companion | None = None
    follows: str = ""  # of a WRITE: the path of an edited sidecar whose weights had another name
    movable: bool = True  # of a CONFLICT: `--force` can move aside what is in the way
    lockable: bool = False  # of a CONFLICT: the file is its own source, so that only a lock can settle it
    takable: bool = False  # of a CONFLICT: `synapse trust --take` hands the adopted file in the way to synapse

    @property
    def shown_path(self) -> str:
        """The path by which programs know the file: its ending decides what they do with it."""
        return self.known_as or self.path

    def to_dict(self) -> dict[str, Any]:
        """Return the action as `--json` prints it."""
        return {
            "verb": self.verb.value,
            "model": self.model,
            "target": self.target or None,
            "path": self.path or None,
            "sha256": self.sha256 or None,
            "size": self.size,
            "reason": self.reason,
        }

    def __repr__(self) -> str:
        return f"<Action {self.verb.value} {self.model}: {self.path or self.sha256[:12]}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All actions, in the order in which they are carried out.

    `unchanged` paths are right already. `withheld` paths would be removed, but it is not certain that nothing wants
    them; they stay. `spared` paths would be removed without `--no-prune`.
    """

    actions: tuple[Action, ...] = ()
    unchanged: int = 0
    withheld: int = 0
    spared: int = 0

    @property
    def in_sync(self) -> bool:
        """Whether nothing is left to do or to decide."""
        return not self.actions and not self.withheld

    def of(self, *verbs: Verb) -> tuple[Action, ...]:
        """The actions with one of these verbs."""
        return tuple(action for action in self.actions if action.verb in verbs)

    @property
    def fetch_bytes(self) -> int:
        """The bytes to download. An archive counts once, however many of its files are wanted."""
        sizes = dict(_download(action) for action in self.of(Verb.FETCH))
        return sum(sizes.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as `--json` prints it, for a lockfile that is up to date."""
        return {
            "in_sync": self.in_sync,
            "unchanged": self.unchanged,
            "fetch_bytes": self.fetch_bytes,
            "not_locked": [],
            "renamed": [],
            "not_declared": [],
            "asks": [],
            "withheld": self.withheld,
            "actions": [action.to_dict() for action in self.actions],
            "warnings": [],
        }

    def __repr__(self) -> str:
        return f"<Plan: {len(self.actions):,} actions, {self.unchanged:,} unchanged>"


def _download(action: Action) -> tuple[str, int]:
    """The SHA-256 and size of the download for a FETCH: the file, or the archive that contains it."""
    archive = None if action.artifact is None else action.artifact.archive
    return (action.sha256, action.size) if archive is None else (archive.sha256, archive.size)


def make_plan(
    wanted: Sequence[Placement],
    observed: Mapping[Key, Observed],
    stored: Container[str],
    *,
    companions: Sequence[Companion] = (),
    nearby: Container[str] = (),
    packed: Container[str] = (),
    shared: Container[str] = (),
    prune: bool = True,
    certain: bool = True,
    force: bool = False,
) -> Plan:
    """Return the plan, which has one step for each path, from its observed state to the wanted one.

    `observed` has every wanted path and every path of the receipts in scope. `stored` contains the SHA-256 of the
    store's blobs. `packed` contains those of files in an archive of the store, `nearby` those in caches of this
    machine, `shared` those in directories among the remotes. Unless it is `certain` that all wanted paths are
    known, nothing is removed. With `force`, a file in the way is moved aside (REPLACE with a reason), and is no
    conflict. A file in the way of weights has no companion written beside it.
    """
    here = (State.PLACED, State.ALTERED, State.FOREIGN)  # in these states `sha256` is that of the file on the disk
    placed = {found.sha256 for found in observed.values() if found.state in here}
    known = (stored, placed, nearby, shared)
    todo: list[Action] = []
    unchanged = 0
    for placement in wanted:
        found = observed[placement.key]
        if found.own_source and any(placement.artifact.sha256 in each for each in known):
            found = replace(found, own_source=False)
        action = _for_wanted(placement, found, force=force)
        if action is None:
            unchanged += 1
        else:
            todo.append(action)
    barred = {(action.target, action.path) for action in todo if action.verb is Verb.CONFLICT}
    beside: list[Action] = []
    for companion in companions:
        if (companion.target, companion.beside.text) in barred:
            continue
        action = _for_companion(companion, observed[companion.key])
        if action is None:
            unchanged += 1
        else:
            beside.append(action)
    wanted_keys = {placement.key for placement in wanted} | {companion.key for companion in companions}
    extraneous = {key: found for key, found in observed.items() if key not in wanted_keys}
    edited = EditedSidecars(extraneous, {k: found.model for k, found in extraneous.items() if found.is_edited})
    beside = [_following(action, edited) for action in beside]
    fates = {key: fate for key, found in extraneous.items() if (fate := _fate(found)) is not None}
    pruned = sum(verb is Verb.PRUNE for verb, _ in fates.values())
    spared = 0 if prune else pruned
    withheld = 0 if certain or not prune else pruned
    removals = _removals(extraneous, fates) if prune and certain else []
    supply = _supply(todo, stored, placed, packed, nearby, shared)
    order = sorted(todo, key=lambda action: (action.verb is Verb.CONFLICT, action.target, action.path))
    return Plan(
        actions=(*supply, *order, *beside, *removals), unchanged=unchanged, withheld=withheld, spared=spared
    )


def _removals(extraneous: Mapping[Key, Observed], fates: Mapping[Key, tuple[Verb, str]]) -> list[Action]:
    """The actions for observed paths that nothing wants, links first.

    Order: a link to nothing would look as if somebody had changed it, so it goes before its file.
    """
    links_first = sorted(fates, key=lambda key: (extraneous[key].how != WITHIN, key))
    return [_for_extraneous(key, extraneous[key], *fates[key]) for key in links_first]


def _for_wanted(placement: Placement, found: Observed, *, force: bool) -> Action | None:
    """The action for one wanted path; None if it is right already."""
    right = found.sha256 == placement.artifact.sha256
    match found.state:
        case State.ABSENT | State.MISSING:
            link = "a link to its blob" if placement.leads_to is not None else None
            reason = "removed since synapse placed it" if found.state is State.MISSING else link
            return _action(Verb.PLACE, placement, reason)
        case State.PLACED if right and placement.accepts(found):
            return _action(Verb.ADOPT, placement, f"spelled `{found.spelled}` before") if found.spelled else None
        case State.PLACED if right:
            way = f"link mode {placement.link_mode}" if placement.leads_to is None else "a link to its blob"
            return _action(Verb.REPLACE, placement, f"{way} instead of {found.how}")
        case State.PLACED if not found.theirs and not found.own_source:
            return _action(Verb.REPLACE, placement, found.detail or "another version")
        case State.ALTERED | State.FOREIGN if right:
            stays = "; the file stays yours" if found.theirs else ""
            return _action(Verb.ADOPT, placement, f"the same bytes are there already{stays}")
    reasons = {
        State.PLACED: _BEFORE,
        State.ALTERED: "changed since synapse placed it",
        State.FOREIGN: "not placed by synapse",
    }
    reason = found.detail or reasons.get(found.state, "not a regular file")
    if found.own_source:
        detail = "changed, and it is its own source"
        return replace(_action(Verb.CONFLICT, placement, detail), movable=False, lockable=True)
    if force and found.state is not State.OBSTRUCTED:
        return _action(Verb.REPLACE, placement, f"{reason}; moved aside")
    conflict = _action(Verb.CONFLICT, placement, reason)
    takable = found.theirs and found.state is State.PLACED
    return replace(conflict, movable=found.state is not State.OBSTRUCTED, takable=takable)


def _for_companion(companion: Companion, found: Observed) -> Action | None:
    """The action for a preview or sidecar; None if it is right, or a preview of somebody else."""
    match found.state:
        case State.ABSENT:
            return _beside(Verb.WRITE, companion, None)
        case State.MISSING:
            return _beside(Verb.WRITE, companion, "removed since synapse wrote it")
        case State.PLACED if found.made == companion.made and found.spelled is None:
            return None
        case State.PLACED if found.how == MERGED:
            return _beside(Verb.MERGE, companion, "the model changed")
        case State.PLACED:
            reason = "the model changed" if found.made != companion.made else f"spelled `{found.spelled}` before"
            return _beside(Verb.WRITE, companion, reason)
        case State.ALTERED if companion.is_sidecar:
            return _beside(Verb.MERGE, companion, "changed since synapse wrote it")
        case State.ALTERED:
            return _beside(Verb.KEEP, companion, "changed since synapse wrote it")
        case State.FOREIGN if companion.is_sidecar:
            return _beside(Verb.MERGE, companion, "not written by synapse")
    return None


def _beside(verb: Verb, companion: Companion, reason: str | None) -> Action:
    return Action(
        verb=verb,
        model=companion.model.name,
        sha256="",
        size=0,
        target=companion.target,
        path=companion.path.text,
        reason=reason or f"{companion.kind} of {companion.beside.name}",
        companion=companion,
    )


def _following(action: Action, edited: EditedSidecars) -> Action:
    """The action with the path of the edited sidecar that it replaces: its model's weights had another name."""
    companion = action.companion
    if action.verb is not Verb.WRITE or companion is None or not companion.is_sidecar:
        return action
    suffix = companion.path.name.removeprefix(stem_of(companion.beside.name))
    path = edited.of(action.target, action.model, suffix)
    return action if path is None else replace(action, follows=path)


def _fate(found: Observed) -> tuple[Verb, str] | None:
    """The verb for a path that no model wants, and the reason; None where synapse placed nothing."""
    if found.state in (State.ABSENT, State.FOREIGN, State.OBSTRUCTED):
        return None
    if found.spelled is not None:
        return Verb.FORGET, f"it is `{found.spelled}` now"
    if found.state is State.MISSING:
        return Verb.FORGET, "already gone"
    if found.state is State.ALTERED:
        return Verb.KEEP, "changed since synapse placed it"
    if found.how == MERGED:
        return Verb.KEEP, "it has content that synapse did not write"
    if found.theirs:
        return Verb.KEEP, _BEFORE
    if found.shared:
        return Verb.FORGET, "another target or project wants it"
    return Verb.PRUNE, "no longer wanted"


def _for_extraneous(key: Key, found: Observed, verb: Verb, reason: str) -> Action:
    target, path = key
    return Action(
        verb=verb,
        model=found.model or "",
        sha256=found.sha256 or "",
        size=found.size,
        target=target,
        path=path,
        reason=reason,
    )


def _action(verb: Verb, placement: Placement, reason: str | None) -> Action:
    return Action(
        verb=verb,
        model=placement.model,
        sha256=placement.artifact.sha256,
        size=placement.artifact.size,
        target=placement.target,
        path=placement.path.text,
        link_mode=placement.link_mode,
        leads_to="" if placement.leads_to is None else placement.leads_to.text,
        link=placement.link,
        known_as="" if placement.known_as is None else placement.known_as.text,
        reason=reason,
        artifact=placement.artifact,
    )


def _supply(
    todo: Sequence[Action],
    stored: Container[str],
    placed: Container[str | None],
    packed: Container[str],
    nearby: Container[str],
    shared: Container[str],
) -> list[Action]:
    """The actions that bring missing blobs into the store: one for each blob, the largest first."""
    needed = {
        action.sha256: action
        for action in reversed(todo)
        if action.verb in (Verb.PLACE, Verb.REPLACE) and not action.leads_to and action.sha256 not in stored
    }
    supply = []
    for sha256, action in needed.items():
        verb, reason = Verb.SALVAGE, None
        if sha256 in placed:
            pass
        elif sha256 in packed:
            reason = "in an archive that the store has"
        elif sha256 in nearby:
            reason = "the same bytes are on this machine"
        elif sha256 in shared:
            reason = "the directory of a remote has it"
        else:
            verb = Verb.FETCH
        supply.append(
            Action(
                verb=verb,
                model=action.model,
                sha256=sha256,
                size=action.size,
                reason=reason,
                artifact=action.artifact,
            )
        )
    return sorted(supply, key=lambda action: (-action.size, action.sha256))

"""Preflight: everything that can be known before the first byte, found at once and reported together.

`docs/preflight.md` lists every row of it with its test.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.findings import listed
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Manifest
from synapse_sync.core.plan import Action, Plan, Verb
from synapse_sync.core.policy import Permissions, facts_of, objection, permissions_for
from synapse_sync.core.reference import Reference
from synapse_sync.engine.room import choose_stores, missing_room, unwritable
from synapse_sync.engine.tools import Tools
from synapse_sync.engine.ui_root import folder_of_the_ui, root_above
from synapse_sync.errors import AccessDenied, InputError, Offline, StatusError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sites import site_of
from synapse_sync.sources.base import Ask, Guarding
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import storage_error
from synapse_sync.store.ownership import Tree
from synapse_sync.transfer.inspect import inspect_file

_GATES_AT_ONCE = 8


def preflight(
    plan: Plan,
    manifest: Manifest,
    trees: Mapping[str, Tree],
    tools: Tools,
    *,
    project: Path,
    placed: Mapping[str, str],
) -> list[SynapseError]:
    """Every reason why this plan cannot be carried out; nothing is changed.

    `placed` are the roots in which an earlier sync placed files, each with the mount point of its drive, or "" for
    the system's own. Unless it is offline, it sends one HEAD to each repository that may be closed. One cause is
    one error, which names all models that it concerns.
    """
    choose_stores(plan, trees, tools.store)
    problems = _certain(plan, manifest, trees, tools, project=project, placed=placed)
    problems += unwritable(plan, trees, tools.store)
    problems += _supply(plan.of(Verb.FETCH), tools)
    problems += missing_room(plan, trees, tools.store)
    return problems


def _supply(fetches: Sequence[Action], tools: Tools) -> list[SynapseError]:
    """Every reason why files cannot be brought here; those that a remote has need nothing else.

    Remotes are asked only where something is missing without them, or where a site would have to be asked: one
    request for each file.
    """
    remotes = tools.remotes() if fetches else None
    if remotes is None:
        return _refusals(fetches, tools)
    if unusable := remotes.problems():
        return [*unusable]
    guarding = {} if tools.offline else _guarding(fetches, tools)
    gated = [action for action in fetches if any(_gate(place, guarding) is not None for place in _places(action))]
    fetches = _without(fetches, remotes.having(_digests(gated)))
    problems = _refusals(fetches, tools)
    if problems and (there := remotes.having(_digests(fetches) - _digests(gated))):
        problems = _refusals(_without(fetches, there), tools)
    return problems


def _digests(fetches: Iterable[Action]) -> set[str]:
    """The digests of files, and of the archives that contain them."""
    files = [action.artifact for action in fetches if action.artifact is not None]
    return {digest for file in files for digest in (file.sha256, file.given.sha256)}


def _without(fetches: Iterable[Action], there: Collection[str]) -> list[Action]:
    """The downloads without those whose bytes a remote has."""
    return [a for a in fetches if a.artifact is None or not {a.sha256, a.artifact.given.sha256} & {*there}]


def _refusals(fetches: Sequence[Action], tools: Tools) -> list[SynapseError]:
    return [*_local(fetches, tools), *(_offline(fetches) if tools.offline else _access(fetches, tools))]


def foreseen(
    plan: Plan,
    manifest: Manifest,
    trees: Mapping[str, Tree],
    tools: Tools,
    *,
    project: Path,
    placed: Mapping[str, str],
) -> list[SynapseError]:
    """The part of preflight that needs neither a request nor a trial, for commands that only look.

    Parameters are those of `preflight`. Tokens are left out as well: a keyring may ask the user for a password.
    """
    return [
        *_certain(plan, manifest, trees, tools, project=project, placed=placed),
        *_local(plan.of(Verb.FETCH), tools),
    ]


def _certain(
    plan: Plan,
    manifest: Manifest,
    trees: Mapping[str, Tree],
    tools: Tools,
    *,
    project: Path,
    placed: Mapping[str, str],
) -> list[SynapseError]:
    """The reasons that hold wherever the bytes come from; the parameters are those of `preflight`."""
    return [
        *_policy(plan.actions, manifest, tools.store, tools.forbidden),
        *_roots(plan, trees, project, placed),
    ]


def _offline(fetches: Sequence[Action]) -> Iterator[SynapseError]:
    names = {action.model for action in fetches if not _is_local(action)}
    if names:
        yield Offline(
            f"not in the store, and --offline prevents downloads: {listed(sorted(names))}",
            hint="sync once with a network",
        )


def _is_local(action: Action) -> bool:
    return any(place.source == "path" for place in _places(action))


def _places(action: Action) -> Sequence[Reference]:
    return () if action.artifact is None else action.artifact.locations


# -- policy --------------------------------------------------------------------------------------------


def _policy(
    actions: Iterable[Action], manifest: Manifest, blobs: BlobStore, forbidden: Mapping[str, str]
) -> Iterator[SynapseError]:
    """Files that the manifest's policy does not allow (any more).

    Names count as well as the lockfile's word, the name in the tree above all: a UI goes by that.
    """
    entries = {entry.name: entry for entry in manifest.entries()}
    reported: set[tuple[str, str]] = set()
    coming = {action.sha256 for action in actions if action.verb in (Verb.FETCH, Verb.SALVAGE)}
    for action in actions:
        if action.artifact is None or action.verb not in (Verb.FETCH, Verb.PLACE, Verb.REPLACE):
            continue
        if action.leads_to or (action.model, action.sha256) in reported:
            continue  # a link has the bytes of another path, which is judged by the name of the link
        entry = entries.get(action.model)
        permissions = permissions_for(entry, action.artifact.filename, forbidden)
        permissions = replace(permissions, dangerous=manifest.workspace.allow_dangerous)
        problem = objection(facts_of(action.artifact, action.model, action.shown_path), permissions)
        if problem is None and action.sha256 not in coming:
            problem = _content(blobs.path(action.sha256), action, permissions)
        if problem is not None:
            reported.add((action.model, action.sha256))
            yield problem


def _content(blob: Path, action: Action, permissions: Permissions) -> SynapseError | None:
    """The objection to a blob that is in the store already: another project may have allowed more."""
    assert action.artifact is not None
    try:
        inspect_file(blob, facts_of(action.artifact, action.model, action.shown_path), permissions)
    except SynapseError as error:
        return error
    except OSError as error:
        return storage_error(error, f"looking at a blob of `{action.model}`")
    return None


# -- targets -------------------------------------------------------------------------------------------


def _roots(
    plan: Plan, trees: Mapping[str, Tree], project: Path, placed: Mapping[str, str]
) -> Iterator[SynapseError]:
    """Targets whose surroundings are missing: probably a drive that is not mounted, or a mistake in `root`."""
    for name in sorted({action.target for action in plan.of(Verb.PLACE, Verb.REPLACE)}):
        root = trees[name].root
        target = trees[name].target
        if (folder := folder_of_the_ui(target.layout, root, target.root)) is not None:
            yield InputError(
                f"target `{name}`: {root} is the UI's `{folder}` directory, not the UI's own",
                hint=f'write the directory that holds it: `root = "{root_above(target.root, folder)}"`',
            )
        is_empty = root.is_dir() and not any(root.iterdir())
        # Nothing is made on a bare mount point: files there would fill another disk, and the drive would hide them.
        if (mount := placed.get(str(root))) and (is_empty or not root.is_dir()) and not os.path.ismount(mount):
            yield _unmounted(trees[name], mount)
            continue
        if str(root) in placed and is_empty:
            yield InputError(
                f"target `{name}`: {root} is empty, but an earlier sync placed files there",
                hint="is the drive mounted? If you emptied it on purpose, delete the directory and sync again",
            )
        if root.is_dir() or root.parent.is_dir() or root.is_relative_to(project):
            continue
        yield InputError(
            f"target `{name}`: neither {root} nor the directory above it exists",
            hint="is the drive mounted? Otherwise create the directory, or correct `root` in synapse.toml",
        )


def _unmounted(tree: Tree, mount: str) -> InputError:
    """The error for a root whose drive was mounted when files were placed, and is not now."""
    return InputError(
        f"target `{tree.target.name}`: no drive is mounted at {mount}, but an earlier sync placed files there",
        hint=f"is the drive mounted? If it is not used any more, make {tree.root / 'models'}, and sync again",
    )


def _local(fetches: Sequence[Action], tools: Tools) -> Iterator[SynapseError]:
    """Local sources that cannot be used: missing, unreadable, or with another size than was locked."""
    for action in fetches:
        places = _places(action)
        if not places or any(place.source != "path" for place in places):
            continue
        answers = [tools.sources["path"].resolve([Ask(key="", reference=place)])[""] for place in places]
        errors = [answer for answer in answers if isinstance(answer, SynapseError)]
        if len(errors) == len(places):
            yield errors[0].of(action.model)


# -- access --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why one location does not send a file.

    `cause` is equal for files that one step of the user opens. `joiner` leads from the message to the files.
    """

    cause: str
    error: SynapseError
    joiner: str


def _access(fetches: Sequence[Action], tools: Tools) -> Iterator[SynapseError]:
    """Files that no location will send: a token is missing, or a repository is closed to this account."""
    tokens = {place: refusal for place in _all_places(fetches) if (refusal := _token(place, tools)) is not None}
    guarding = _guarding(fetches, tools)
    asked = [a for a in fetches if _places(a) and not any(_is_open(p, tokens, guarding) for p in _places(a))]
    closed = tokens | _closed_gates(asked, tokens, guarding, tools)
    causes: dict[str, tuple[_Refusal, list[Action]]] = {}
    for action in asked:
        refusals = [closed.get(place) for place in _places(action)]
        if None not in refusals and refusals[0] is not None:
            causes.setdefault(refusals[0].cause, (refusals[0], []))[1].append(action)
    for refusal, actions in causes.values():
        yield _grouped(refusal, actions)


def _guarding(fetches: Iterable[Action], tools: Tools) -> dict[str, Guarding]:
    """The sources of some files that may have gates, by name."""
    sources = {place.source for action in fetches for place in _places(action)}
    # Asked once a source: whether a value has the methods of a protocol takes as long as a call of the system.
    return {name: source for name in sources if isinstance(source := tools.sources[name], Guarding)}


def _all_places(fetches: Iterable[Action]) -> list[Reference]:
    return list(dict.fromkeys(place for action in fetches for place in _places(action)))


def _token(place: Reference, tools: Tools) -> _Refusal | None:
    """The token that a location wants and that is not available; no request is made."""
    source = tools.sources[place.source]
    hint = source.needs_token(place)
    if hint is None or tools.has_token(source.locate(place).url):
        return None
    site = site_of(place.source)
    title = site.title if site is not None else place.source
    return _Refusal(hint, AccessDenied(f"{title} needs a token", hint=hint), " for")


def _is_open(place: Reference, tokens: Mapping[Reference, _Refusal], guarding: Mapping[str, Guarding]) -> bool:
    """Whether nothing is known against a location, and nothing can be asked before the download."""
    return place not in tokens and _gate(place, guarding) is None


def _gate(place: Reference, guarding: Mapping[str, Guarding]) -> str | None:
    source = guarding.get(place.source)
    return None if source is None else source.gate(place)


def _closed_gates(
    asked: Sequence[Action], tokens: Mapping[Reference, _Refusal], guarding: Mapping[str, Guarding], tools: Tools
) -> dict[Reference, _Refusal]:
    """The locations behind closed gates: one HEAD for each repository, a few at the same time."""
    gates: dict[tuple[str, str], list[Reference]] = {}
    for place in _all_places(asked):
        if place not in tokens and (gate := _gate(place, guarding)) is not None:
            gates.setdefault((place.source, gate), []).append(place)
    if not gates:
        return {}
    answers = at_once(lambda places: _ask_gate(places[0], tools), list(gates.values()), _GATES_AT_ONCE)
    return {
        place: _Refusal(str(gate), error, "; needed for")
        for (gate, places), error in zip(gates.items(), answers, strict=True)
        if error is not None
        for place in places
    }


def _ask_gate(place: Reference, tools: Tools) -> SynapseError | None:
    """Why a repository is closed, in the words of its source; None if it is open or cannot be asked."""
    source = tools.sources[place.source]
    assert isinstance(source, Guarding)
    try:
        tools.wire().check(source.gate_url(place))
    except StatusError as error:
        return source.closed(place, error)
    except SynapseError:
        return None  # the download has more patience, and better words for it
    return None


def _grouped(refusal: _Refusal, actions: Sequence[Action]) -> SynapseError:
    """One error for all files that share its cause."""
    found = refusal.error.copy()
    names = {action.model for action in actions}
    files = "1 file" if len(actions) == 1 else f"{len(actions)} files"
    found.message = f"{found.message}{refusal.joiner} {files} ({listed(sorted(names))})"
    found.args = (found.message,)
    found.subject = next(iter(names)) if len(names) == 1 else None
    return found

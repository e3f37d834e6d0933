"""Preflight: everything that would fail, found before the first byte and told all at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.manifest.values import Manifest
from synapse_sync.core.plan import Action, Plan, Verb
from synapse_sync.core.policy import Permissions, facts_of, objection
from synapse_sync.errors import AccessDenied, InputError, Offline, StorageError, SynapseError
from synapse_sync.layouts import LAYOUTS
from synapse_sync.sources.base import Source
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import RESERVE, storage_error
from synapse_sync.store.ownership import Tree
from synapse_sync.transfer.inspect import inspect_file


def preflight(
    plan: Plan,
    manifest: Manifest,
    trees: Mapping[str, Tree],
    *,
    sources: Mapping[str, Source],
    has_token: Callable[[str], bool],
    store: Path,
    project: Path,
    offline: bool,
    begun: Callable[[str], int] = lambda sha256: 0,
    synced: Collection[str] = (),
) -> list[SynapseError]:
    """Every reason why this plan cannot be carried out.

    `has_token` says whether a URL would be asked with a token; `begun` how many bytes of a blob are there already.
    `synced` are the roots in which an earlier sync placed files.
    """
    fetches = plan.of(Verb.FETCH)
    problems = [*_policy(plan.actions, manifest, BlobStore(store)), *_roots(plan, trees, project, synced)]
    if offline and (remote := [action for action in fetches if not _is_local(action)]):
        names = ", ".join(f"`{name}`" for name in sorted({action.model for action in remote}))
        problems.append(
            Offline(
                f"not in the store, and --offline forbids to download: {names}", hint="sync once with a network"
            )
        )
        return problems
    for action in fetches:
        if (problem := _token(action, sources, has_token)) is not None:
            problems.append(problem)
    problems += _space(plan, fetches, trees, store, begun)
    return problems


def _is_local(action: Action) -> bool:
    return action.artifact is not None and any(place.source == "path" for place in action.artifact.locations)


def _policy(actions: Iterable[Action], manifest: Manifest, blobs: BlobStore) -> Iterable[SynapseError]:
    """What the lockfile asks for and the manifest's policy does not allow (any more).

    Names count as well as the lockfile's word, the name in the tree above all: a UI goes by that.
    """
    allowed = {entry.name: entry.allow_pickle for entry in manifest.entries()}
    told: set[tuple[str, str]] = set()
    coming = {action.sha256 for action in actions if action.verb in (Verb.FETCH, Verb.SALVAGE)}
    for action in actions:
        artifact = action.artifact
        if artifact is None or action.verb not in (Verb.FETCH, Verb.PLACE, Verb.REPLACE):
            continue
        if (action.model, action.sha256) in told:
            continue
        permissions = Permissions(
            pickles=allowed.get(action.model, False), dangerous=manifest.workspace.allow_dangerous
        )
        problem = _refusal(action, artifact, permissions)
        if problem is None and action.sha256 not in coming:
            problem = _content(blobs.path(action.sha256), action, permissions)
        if problem is not None:
            told.add((action.model, action.sha256))
            yield problem


def _refusal(action: Action, artifact: Artifact, permissions: Permissions) -> SynapseError | None:
    return objection(facts_of(artifact, action.model, action.path), permissions)


def _content(blob: Path, action: Action, permissions: Permissions) -> SynapseError | None:
    """What speaks against a blob that is in the store already: another project may have allowed more."""
    assert action.artifact is not None
    try:
        inspect_file(blob, facts_of(action.artifact, action.model, action.path), permissions)
    except SynapseError as error:
        return error
    except OSError as error:
        return storage_error(error, f"looking at a blob of `{action.model}`")
    return None


def _roots(plan: Plan, trees: Mapping[str, Tree], project: Path, synced: Collection[str]) -> Iterable[SynapseError]:
    """A target whose surroundings are missing is more likely a drive that is not mounted than a wish."""
    for name in sorted({action.target for action in plan.of(Verb.PLACE, Verb.REPLACE)}):
        root = trees[name].root
        if (models := _models_folder(trees[name])) is not None:
            above = os.path.normpath(Path(trees[name].target.root) / "..")
            yield InputError(
                f"target `{name}`: {root} is the UI's `{models}` directory, not the UI's own",
                hint=f'write the directory that holds it: `root = "{Path(above).as_posix()}"`',
            )
        if str(root) in synced and root.is_dir() and not any(root.iterdir()):
            yield InputError(
                f"target `{name}`: {root} is empty, but an earlier sync placed files there",
                hint="is the drive mounted? If it was emptied on purpose, remove the directory and sync again",
            )
        if root.is_dir() or root.parent.is_dir() or root.is_relative_to(project):
            continue
        yield InputError(
            f"target `{name}`: neither {root} nor the directory above it exists",
            hint="is the drive mounted? Otherwise create the directory, or correct `root` in synapse.toml",
        )


def _models_folder(tree: Tree) -> str | None:
    """The name that the layout has for this root, where the root is a folder of the UI (`models`); else None.

    Files would go to `models/models/…`, where no UI looks.
    """
    layout = LAYOUTS[tree.target.layout]
    pairs = [folder.partition("/")[::2] for folders in layout.folders.values() for folder in folders]
    for first in dict.fromkeys(first for first, rest in pairs if rest):
        if (tree.root / first).exists():
            continue
        inside = {rest for other, rest in pairs if other == first and rest and (tree.root / rest).is_dir()}
        if len(inside) > 1 or (inside and tree.root.name.casefold() == first.casefold()):
            return first
    return None


def _token(action: Action, sources: Mapping[str, Source], has_token: Callable[[str], bool]) -> SynapseError | None:
    """A token that every place would want and that we do not have."""
    if action.artifact is None:
        return None
    sentence: str | None = None
    for place in action.artifact.locations:
        source = sources[place.source]
        wanted = source.needs_token(place)
        if wanted is None or has_token(source.locate(place).url):
            return None
        sentence = sentence or wanted
    return AccessDenied(
        f"`{action.model}`: a token is needed for the download", hint=sentence, subject=action.model
    )


def _space(
    plan: Plan, fetches: Iterable[Action], trees: Mapping[str, Tree], store: Path, begun: Callable[[str], int]
) -> Iterable[SynapseError]:
    """Bytes needed and free on each file system, the store's and the targets'."""
    needed: dict[int, int] = {}
    where: dict[int, Path] = {}

    def need(path: Path, size: int) -> None:
        existing = _nearest(path)
        device = existing.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        where.setdefault(device, existing)

    for action in plan.of(Verb.FETCH, Verb.SALVAGE):
        need(store, max(0, action.size - begun(action.sha256)))
    artifacts = [action.artifact for action in fetches]
    archives = {a.archive.sha256: a.archive.size for a in artifacts if a is not None and a.archive is not None}
    for sha256, size in archives.items():
        need(store, max(0, size - begun(sha256)))
    store_device = _nearest(store).stat().st_dev
    for action in plan.of(Verb.PLACE, Verb.REPLACE):
        root = _nearest(trees[action.target].root)
        across = root.stat().st_dev != store_device
        if action.link_mode.needs_room(across=across):
            need(root, action.size)
    for device, size in needed.items():
        free = shutil.disk_usage(where[device]).free
        if size and size + RESERVE > free:
            yield StorageError(
                f"not enough space on the file system of {where[device]}: "
                f"{size / 1e9:,.2f} GB needed, {free / 1e9:,.2f} GB free",
                hint="free some space (`synapse store gc` shows what the store could give back), "
                "or put the store elsewhere with SYNAPSE_STORE",
            )


def _nearest(path: Path) -> Path:
    """The path itself or the first existing directory above it."""
    while not path.exists():
        path = path.parent
    return path

"""Survey: arrange, observe and plan in one go; changes nothing. What `status`, `--dry-run` and `sync` all show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.companion import Companion
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.values import Manifest, Requirement
from synapse_sync.core.nearest import nearest
from synapse_sync.core.plan import Key, Observed, Plan, make_plan
from synapse_sync.engine.observe import links_to_report, observe, ways_to
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InputError, raise_all
from synapse_sync.layouts.arrange import Arrangement, arrange
from synapse_sync.layouts.companions import arrange_companions
from synapse_sync.project import Project
from synapse_sync.sources.register import preview_url
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.ownership import Tree, former_trees, open_trees, with_barriers, with_neighbours
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.store.projects import read_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is wanted, what is there and what follows.

    `stale` names the entries that the lockfile does not answer (yet).
    """

    plan: Plan
    arrangement: Arrangement
    companions: tuple[Companion, ...]
    trees: Mapping[str, Tree]
    observed: Mapping[Key, Observed]
    stale: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def listed(self) -> int:
        """How many files our receipts list in the trees in scope."""
        return sum(len(tree.receipt.entries) for tree in self.trees.values())


def unknown_model(name: str, known: Collection[str]) -> InputError:
    """The error for a name that is not declared, with the nearest that is."""
    near = nearest(name, sorted(known))
    hint = f"did you mean `{near}`?" if near else "`synapse list` lists all"
    return InputError(f"no model `{name}` in synapse.toml", hint=hint)


def entries_in(manifest: Manifest, scope: Scope) -> tuple[Requirement, ...]:
    """The entries in scope; raises `InputError` for names and groups that do not exist."""
    entries = manifest.entries()
    if scope.only:
        names = {entry.name for entry in entries} | {entry.model for entry in entries}
        raise_all([unknown_model(name, names) for name in scope.only if name not in names])
        entries = tuple(e for e in entries if e.name in scope.only or e.model in scope.only)
    if scope.groups:
        groups = {group for entry in entries for group in entry.groups}
        hint = f"available: {', '.join(sorted(groups))}" if groups else "no model has `groups`"
        raise_all([InputError(f"no model is in group `{g}`", hint=hint) for g in scope.groups if g not in groups])
        entries = tuple(entry for entry in entries if set(entry.groups) & set(scope.groups))
    return entries


def trees_in(project: Project, scope: Scope, link_mode: LinkMode) -> dict[str, Tree]:
    """The targets in scope on this machine, by name, each with its receipt.

    `link_mode` is the user's default. Raises `InputError` for targets that do not exist.
    """
    targets = {target.name: target for target in project.manifest.targets}
    raise_all(
        [
            InputError(f"no target `{name}` in synapse.toml", hint=f"available: {', '.join(targets)}")
            for name in scope.targets
            if name not in targets
        ]
    )
    chosen = [target for name, target in targets.items() if not scope.targets or name in scope.targets]
    return open_trees(chosen, project.directory, project.key, link_mode=scope.link_mode, default_mode=link_mode)


def survey_project(project: Project, scope: Scope, tools: Tools) -> Survey:
    """Compare what a project wants with what exists on this machine; changes nothing."""
    record = read_record(project.store, project.key)
    return survey(
        project.manifest,
        project.lockfile,
        scope,
        trees_in(project, scope, tools.link_mode),
        key=project.key,
        former=record.every_root if record is not None else {},
        stale=project.stale(),
        store=tools.store,
        nearby=tools.nearby,
    )


def survey(
    manifest: Manifest,
    lockfile: Lockfile,
    scope: Scope,
    trees: Mapping[str, Tree],
    *,
    key: str,
    former: Mapping[str, str],
    stale: Sequence[str],
    store: BlobStore,
    nearby: Callable[[Artifact], bool] = lambda artifact: False,
) -> Survey:
    """Compare what is wanted with what is there.

    `trees` are the targets in scope, `former` the roots of targets at earlier syncs, `stale` the entries that the
    lockfile does not answer. `nearby` says whether a cache on this machine seems to have a file.
    """
    entries = entries_in(manifest, scope)
    locked = {model.name: model for model in lockfile.models}
    arrangement = arrange(entries, locked, [tree.target for tree in trees.values()])
    if not scope.targets:
        trees = {**trees, **former_trees(former, key, trees)}
    companions = _companions(manifest, entries, locked, arrangement, trees, store)
    trees = with_neighbours(trees, (*arrangement.placements, *companions))
    declared = {target.name for target in manifest.targets}
    ways = ways_to(arrangement.placements, trees, companions)
    if any(way.links for way in ways.values()):
        trees = with_barriers(trees, declared, key=key, store=store.root)
        ways = ways_to(arrangement.placements, trees, companions)
    observed = observe(arrangement.placements, trees, companions, ways)
    warnings = [*arrangement.notes, *links_to_report(ways, trees)]
    prune = scope.prune and not scope.only and not scope.groups
    if prune and not manifest.models and any(tree.receipt.entries for tree in trees.values()):
        prune = False
        warnings.append("synapse.toml declares no model: nothing is pruned because of that")
    stored = _Asked(arrangement, lambda artifact: store.has(artifact.sha256, artifact.size))
    packed = _Asked(
        arrangement, lambda artifact: artifact.archive is not None and store.has(artifact.archive.sha256)
    )
    close = _Asked(arrangement, nearby)
    names = {entry.name for entry in entries}
    return Survey(
        plan=make_plan(
            arrangement.placements,
            observed,
            stored,
            companions=companions,
            nearby=close,
            packed=packed,
            prune=prune,
            force=scope.force,
        ),
        arrangement=arrangement,
        companions=companions,
        trees=trees,
        observed=observed,
        stale=tuple(name for name in stale if name in names or name in locked),
        warnings=tuple(warnings),
    )


def _companions(
    manifest: Manifest,
    entries: Sequence[Requirement],
    locked: Mapping[str, LockedModel],
    arrangement: Arrangement,
    trees: Mapping[str, Tree],
    store: BlobStore,
) -> tuple[Companion, ...]:
    """The wanted previews and sidecars, without those previews whose address lately turned out to give none."""
    cache = PreviewCache(store.root)
    targets = [tree.target for tree in trees.values()]
    found = arrange_companions(entries, locked, arrangement.placements, targets, manifest.workspace, preview_url)
    return tuple(
        companion
        for companion in found
        if companion.url is None
        or trees[companion.target].entry(companion.path.text) is not None
        or cache.given_up(companion.url) is None
    )


class _Asked:
    """Which of the arranged blobs are somewhere, asked when it matters."""

    def __init__(self, arrangement: Arrangement, ask: Callable[[Artifact], bool]) -> None:
        self._artifacts = {p.artifact.sha256: p.artifact for p in arrangement.placements}
        self._ask = ask

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and sha256 in self._artifacts and self._ask(self._artifacts[sha256])

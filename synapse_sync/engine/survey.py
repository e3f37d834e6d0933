"""Survey: arrange, observe and plan; changes nothing. `status`, `--dry-run` and `sync` show the same plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.companion import Companion
from synapse_sync.core.findings import listed
from synapse_sync.core.freshness import expected, stale_entries, undeclared, unlocked, with_renamed
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import ADOPTED, CLAIMED, WITHIN, LinkMode
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.values import Manifest, Requirement
from synapse_sync.core.plan import Key, Observed, Placement, Plan, State, Verb, make_plan
from synapse_sync.core.size_text import count_text
from synapse_sync.core.trust import Capability
from synapse_sync.engine.arranged import targets_here, without_code
from synapse_sync.engine.observe import followed_links, links_to_report, observe, ways_to, with_own_sources
from synapse_sync.engine.optional import awaited, not_locked, optional_names
from synapse_sync.engine.part import entries_in
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey_notes import moved_roots, shared_roots, with_moved, withheld_warning
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import OutOfDate
from synapse_sync.layouts.arrange import Arrangement, arrange
from synapse_sync.layouts.companions import Accompaniment, arrange_companions
from synapse_sync.project import Project
from synapse_sync.sources.register import preview_url
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.ownership import (
    Tree,
    former_roots,
    former_trees,
    open_trees,
    with_barriers,
    with_neighbours,
    with_sharers,
)
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.store.projects import read_record
from synapse_sync.store.reach import Way
from synapse_sync.store.receipt import ReceiptEntry
from synapse_sync.store.sidecars import OwnPreviews
from synapse_sync.user.places import LOCKFILE, MANIFEST
from synapse_sync.user.searches import paused


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The wanted files, the existing ones, and the plan that follows.

    `stale` names the models in scope that the lockfile does not answer, `unmet` optional ones that it lacks.
    `renamed` names those whose pins have another name in it, `dropped` the pins that are no longer declared. `asks`
    are the capabilities that a sync would ask the user for. `links` are the directory links that are followed, by
    path with the real path they lead to. `emptied` says that both files agree on no model at all. `refused` says
    that a sync would end before its first act, `left_out` that the plan lacks optional models that a sync cannot
    have now. `optional` names the optional models.
    """

    plan: Plan
    arrangement: Arrangement
    companions: tuple[Companion, ...]
    trees: Mapping[str, Tree]
    observed: Mapping[Key, Observed]
    stale: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    emptied: bool = False
    refused: bool = False
    left_out: bool = False
    optional: frozenset[str] = frozenset()
    links: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    asks: tuple[Capability, ...] = ()

    @property
    def not_locked(self) -> tuple[str, ...]:
        """The names of all models in scope that the lockfile does not answer, optional ones last."""
        return (*self.stale, *self.unmet)

    @property
    def is_locked(self) -> bool:
        """Whether the lockfile is what a lock would write."""
        return not self.stale and not self.renamed and not self.dropped

    @property
    def in_sync(self) -> bool:
        """Whether a sync has nothing that it must do: no file, and not the lockfile.

        A download of an optional model is tried by each sync, and may be refused by its site for ever.
        """
        rest = len(self.plan.actions) - len(awaited(self.plan, self.optional))
        return not rest and not self.plan.withheld and self.is_locked and not self.refused

    @property
    def is_complete(self) -> bool:
        """Whether a sync would do nothing at all, and try nothing."""
        return self.in_sync and self.plan.in_sync

    @property
    def tried(self) -> str:
        """The words about the downloads of optional models that the next sync tries; empty if there are none."""
        count = sum(action.verb is Verb.FETCH for action in awaited(self.plan, self.optional))
        return f"{count_text(count, 'optional file')} to download" if count else ""

    def summary(self) -> str:
        """Return one line: in sync, or how many actions of each kind a sync would carry out."""
        if self.in_sync:
            tried = f"; {self.tried}" if self.tried else ""
            return f"in sync: {count_text(self.plan.unchanged, 'file')}{tried}"
        counts = [(len(self.plan.of(verb)), f"to {verb.value}") for verb in Verb]
        counts += [(len(self.stale), "not locked"), (self.plan.unchanged, "in place")]
        return ", ".join(f"{count:,} {word}" for count, word in counts if count) or "not in sync"

    def __repr__(self) -> str:
        return f"<Survey: {self.summary()}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the survey as `--json` prints it: its plan, and how the lockfile differs from the manifest."""
        return self.plan.to_dict() | {
            "in_sync": self.in_sync,
            "not_locked": list(self.not_locked),
            "renamed": list(self.renamed),
            "not_declared": list(self.dropped),
            "asks": [one.to_dict() for one in self.asks],
            "warnings": list(self.warnings),
        }

    @property
    def listed(self) -> int:
        """The number of files that the receipts in scope list, without links to other paths of their target."""
        return sum(entry.how != WITHIN for tree in self.trees.values() for entry in tree.receipt.entries.values())

    @property
    def pruned(self) -> int:
        """The number of files that the plan removes, without links to other paths of their target."""
        removed = self.plan.of(Verb.PRUNE)
        return sum(self.observed[action.target, action.path].how != WITHIN for action in removed)


def check_frozen(project: Project, scope: Scope) -> None:
    """Raise `OutOfDate` if the lockfile lacks a model in scope: its files are unknown, not unwanted."""
    entries = entries_in(project.manifest, scope)
    missing = unlocked(expected(entries, project.lockfile), project.lockfile)
    if not missing:
        return
    if (absent := project.no_lockfile()) is not None:
        raise OutOfDate(f"{absent}, and --frozen needs it", hint="restore it from git, or run `synapse lock`")
    raise OutOfDate(
        f"{LOCKFILE} does not have {listed(missing)}, and --frozen locks nothing",
        hint="restore it from git, or run `synapse lock`",
    )


def trees_in(project: Project, scope: Scope, link_mode: LinkMode) -> dict[str, Tree]:
    """The targets in scope on this machine, by name, each with its receipt.

    `link_mode` is the user's default. Raises `InputError` for targets that do not exist.
    """
    return open_trees(
        targets_here(project, scope),
        project.directory,
        project.key,
        link_mode=scope.link_mode,
        default_mode=link_mode,
        store=project.store,
        models={model.name for model in project.lockfile.models},
        reproducible=project.manifest.workspace.reproducible,
    )


def is_emptied(project: Project) -> bool:
    """Whether both files have text and no model; a blank file was rather truncated by accident."""
    if project.manifest.models or project.lockfile.models:
        return False
    return bool(project.text(MANIFEST).strip()) and bool(project.text(LOCKFILE).strip())


@paused()
def survey_project(project: Project, scope: Scope, tools: Tools, *, frozen: bool = False) -> Survey:
    """Compare what a project wants with what exists on this machine; changes nothing.

    With `frozen`, the pins of the lockfile are followed even where the manifest has changed.
    """
    lockfile = project.lockfile
    if not frozen:
        lockfile = with_renamed(project.manifest.entries(), lockfile)
    found = _survey(project, lockfile, scope, tools, frozen=frozen)
    if lockfile is project.lockfile:
        return found
    before = set(project.lockfile.models)
    return replace(found, renamed=tuple(model.name for model in lockfile.models if model not in before))


def _survey(project: Project, lockfile: Lockfile, scope: Scope, tools: Tools, *, frozen: bool) -> Survey:
    """Compare what this lockfile wants with what exists.

    Unless `frozen`, nothing is planned for a model that the lockfile does not answer: its files are unknown.
    """
    manifest, store = project.manifest, tools.store
    entries = entries_in(manifest, scope)
    locked = {model.name: model for model in lockfile.models}
    answered = expected(entries, lockfile)
    unmet = {entry.name for entry in entries} - {entry.name for entry in answered}
    stale = tuple(entry.name for entry in stale_entries(answered, lockfile))
    trees = trees_in(project, scope, tools.link_mode)
    arrangement = arrange(entries, locked, [tree.target for tree in trees.values()])
    if not scope.targets:
        trees |= former_of(project, locked, trees)
    beside = _companions(manifest, entries, locked, arrangement, trees, store)
    neighbours = with_neighbours(trees, (*arrangement.placements, *beside.companions))
    walked, ways = _walked(project, arrangement.placements, beside.companions, neighbours, store)
    observed = observe(arrangement.placements, walked, beside.companions, ways)
    walked = _confirmed(arrangement.placements, walked, observed)
    observed = with_own_sources(arrangement.placements, observed, walked, tools.local_path)
    links = followed_links(ways, walked)
    arrangement = without_code(
        arrangement,
        lambda placement: observed[placement.key].state in (State.ABSENT, State.MISSING),
        entries,
        locked,
    )
    emptied = is_emptied(project)
    pending = frozenset() if frozen else frozenset(stale)
    certain = (bool(manifest.models) or emptied) and not pending and not _has_files_of(unmet, walked.values())
    plan = _plan(arrangement, beside.companions, observed, scope, tools, pending=pending, certain=certain)
    plan = with_moved(plan, walked)
    return Survey(
        plan=plan,
        arrangement=arrangement,
        companions=beside.companions,
        trees=walked,
        observed=observed,
        stale=stale,
        unmet=tuple(sorted(unmet)),
        dropped=tuple(undeclared(manifest.entries(), project.lockfile)),
        emptied=emptied,
        optional=optional_names(manifest.entries()),
        links={link.path: link.to for link in links},
        warnings=(
            *map(not_locked, sorted(unmet)),
            *arrangement.notes,
            *beside.notes,
            *links_to_report(links, walked, _reported(project) if links else None),
            *moved_roots(plan, walked),
            *shared_roots(walked, manifest.targets),
            *withheld_warning(plan.withheld, empty=not manifest.models),
        ),
    )


def _has_files_of(unmet: Collection[str], trees: Iterable[Tree]) -> bool:
    """Whether a receipt lists files of these optional models: they were locked once, so theirs are not unwanted."""
    listed = (entry for tree in trees for entry in tree.receipt.entries.values())
    return bool(unmet) and any(entry.model in unmet for entry in listed)


def _reported(project: Project) -> Mapping[str, str] | None:
    """The links that earlier syncs reported; None if an earlier version did not note them."""
    record = read_record(project.store, project.key)
    return {} if record is None else record.links


def former_of(project: Project, locked: Collection[str], trees: Mapping[str, Tree]) -> dict[str, Tree]:
    """The trees that this project had at earlier syncs, and has no more; `locked` are the names of its models."""
    found: dict[str, Tree] = {}
    for key, roots in former_roots(project.directory, project.key, project.store, set(locked)):
        found |= former_trees(roots, key, trees, project=project.directory, store=project.store)
    return found


def _plan(
    arrangement: Arrangement,
    companions: Sequence[Companion],
    observed: Mapping[Key, Observed],
    scope: Scope,
    tools: Tools,
    *,
    pending: Collection[str],
    certain: bool,
) -> Plan:
    """The plan for the paths in scope.

    `pending` are the models that the lockfile does not answer: nothing is planned for them. Unless `certain`,
    nothing is pruned.
    """
    store = tools.store
    plan = make_plan(
        [placement for placement in arrangement.placements if placement.model not in pending],
        observed,
        _Asked(arrangement, lambda artifact: store.has(artifact.sha256)),
        companions=[companion for companion in companions if companion.model.name not in pending],
        nearby=_Asked(arrangement, tools.nearby),
        shared=_Asked(arrangement, tools.shared),
        packed=_Asked(arrangement, lambda file: file.archive is not None and store.has(file.archive.sha256)),
        prune=scope.prune and not scope.only and not scope.groups,
        certain=certain,
        force=scope.force,
    )
    if scope.only or scope.groups:  # files of the models out of scope are wanted, though not by this plan
        plan = replace(plan, spared=0)
    return plan


def _walked(
    project: Project,
    placements: Sequence[Placement],
    companions: Sequence[Companion],
    trees: Mapping[str, Tree],
    store: BlobStore,
) -> tuple[Mapping[str, Tree], Mapping[Key, Way]]:
    """The trees and the ways to all paths; where a way leads through a link, the trees know what others own."""
    ways = ways_to(placements, trees, companions)
    if not any(way.links for way in ways.values()):
        return trees, ways
    declared = {target.name for target in project.manifest.targets}
    stores = [member.root for member in store.members]
    trees = with_barriers(trees, declared, key=project.key, store=store.root, stores=stores)
    trees = with_sharers(trees, key=project.key, store=store.root)
    return trees, ways_to(placements, trees, companions)


def _confirmed(
    placements: Sequence[Placement], trees: Mapping[str, Tree], observed: Mapping[Key, Observed]
) -> dict[str, Tree]:
    """The trees with those claimed files adopted that are wanted and right: to be noted with the next change."""
    right: dict[str, dict[str, ReceiptEntry]] = {}
    for placement in placements:
        found, entry = observed[placement.key], trees[placement.target].entry(placement.path.text)
        claimed = entry is not None and entry.how == CLAIMED and found.state is State.PLACED
        if entry is not None and claimed and found.sha256 == placement.artifact.sha256:
            right.setdefault(placement.target, {})[entry.path] = replace(entry, how=ADOPTED)
    return {
        name: tree
        if name not in right
        else replace(tree, receipt=replace(tree.receipt, entries={**tree.receipt.entries, **right[name]}))
        for name, tree in trees.items()
    }


def _companions(
    manifest: Manifest,
    entries: Sequence[Requirement],
    locked: Mapping[str, LockedModel],
    arrangement: Arrangement,
    trees: Mapping[str, Tree],
    store: BlobStore,
) -> Accompaniment:
    """The wanted previews and sidecars, except previews whose URL recently had none."""
    cache = PreviewCache(store.root)
    placed = _placed(trees.values()) if any(entry.preview_count for entry in entries) else frozenset()
    own = {name: OwnPreviews(tree.root, placed) for name, tree in trees.items()}
    found = arrange_companions(
        entries,
        locked,
        arrangement.placements,
        [tree.target for tree in trees.values()],
        manifest.workspace,
        preview_url=preview_url,
        own_preview=lambda placement: own[placement.target].beside(placement.path),
    )
    kept = (
        companion
        for companion in found.companions
        if companion.url is None
        or trees[companion.target].entry(companion.path.text) is not None
        or cache.given_up(companion.url) is None
    )
    return replace(found, companions=tuple(kept))


def _placed(trees: Iterable[Tree]) -> frozenset[str]:
    """The full paths of all listed files. For a renamed target, its old files are not the user's own."""
    return frozenset(f"{tree.root}/{path}" for tree in trees for path in (*tree.receipt.entries, *tree.others))


class _Asked:
    """The arranged blobs for which `ask` is true; each is asked about when a plan needs to know."""

    def __init__(self, arrangement: Arrangement, ask: Callable[[Artifact], bool]) -> None:
        self._artifacts = {p.artifact.sha256: p.artifact for p in arrangement.placements}
        self._ask = ask

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and sha256 in self._artifacts and self._ask(self._artifacts[sha256])

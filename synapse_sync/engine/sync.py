"""Sync: the whole story, from the project's lock to the note that everything is in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.companion import Companion, LeftOut
from synapse_sync.core.findings import listed
from synapse_sync.core.freshness import Change, expected
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.look import Looks
from synapse_sync.core.plan import Key, Plan, Verb
from synapse_sync.core.policy import permissions_for
from synapse_sync.core.report import Report
from synapse_sync.core.rules import violations
from synapse_sync.core.size_text import count_text
from synapse_sync.core.true_sizes import with_true_sizes, wrong_sizes
from synapse_sync.engine.execute import execute
from synapse_sync.engine.include import bring_includes
from synapse_sync.engine.optional import admitted, excused, judged, not_locked
from synapse_sync.engine.preflight import preflight
from synapse_sync.engine.remember import note_completion, note_links, note_placed, note_use, placed_roots
from synapse_sync.engine.room import apart
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import Survey, check_frozen, survey_project, trees_in
from synapse_sync.engine.tools import Tools
from synapse_sync.engine.trust import wanted
from synapse_sync.errors import InputError, OutOfDate, SynapseError
from synapse_sync.project import Project
from synapse_sync.store.locks import hold, lock_path
from synapse_sync.store.ownership import Tree, hold_roots, take_over
from synapse_sync.store.projects import COLLECTION
from synapse_sync.user.places import LOCKFILE, MANIFEST

if TYPE_CHECKING:
    from synapse_sync.engine.lock import Locked

#: So many models that were locked again as they were are listed one by one.
_FEW = 3
_UNCOMPARED = (
    "no memory is left to compare the files with what their sites say; their bytes were verified all the same"
)


def sync(
    project: Project,
    scope: Scope,
    tools: Tools,
    *,
    state: Callable[[], str],
    locked: bool = False,
    frozen: bool = False,
    confirm: Callable[[str], bool] = lambda question: False,
    command: str = "sync",
) -> Report:
    """Make the trees match the manifest: lock stale models, survey, preflight, execute.

    `state` returns the fingerprint of the two files and the settings. `locked` refuses a stale lockfile
    (`OutOfDate`); `frozen` follows it as it is. `confirm` is asked before an unusually large prune. `command` is
    the verb for the journal. Raises everything that preflight finds; failures of single files are in the report.
    """
    with ExitStack() as held:
        held.enter_context(project.hold(tools.reporter.note))
        bring_includes(project, tools)
        if frozen:
            check_frozen(project, scope)
        # Opened before a lock, which may download: a damaged receipt stops the sync first.
        trees = trees_in(project, scope, tools.link_mode)
        tools.trust.check_roots(tree.target for tree in trees.values())
        if not frozen and not locked:
            ask_for_lock(project, trees.values(), tools)
        answer = None if frozen else refresh_lock(project, tools, locked=locked)
        warnings = [] if answer is None else list(answer.warnings)
        held.enter_context(hold_roots(trees, project.store, tools.reporter.note))
        take_over(trees.values())
        survey = survey_project(project, scope, tools, frozen=frozen)
        if frozen:
            warnings += [f"`{name}` is not answered by {LOCKFILE}; --frozen ignores that" for name in survey.stale]
        asked = wanted(project, tools.trust, survey.plan, survey.trees, project.manifest.entries())
        tools.trust.require(asked)
        check_prune(survey, confirm)
        survey, left_out = check_before(survey, project, tools)
        warnings += left_out
        # Noted before anything is placed, and never during a collection: a collection keeps every blob that a known
        # project uses, so from here on none of ours is dropped.
        collection = lock_path(project.store, COLLECTION)
        with hold(collection, f"the store {project.store}", on_wait=tools.reporter.note, optional=True):
            tools.trust.keep_earlier(asked)
            warnings += note_use(project, survey, (member.root for member in tools.store.members[1:]))
        report = carry_out(survey, project, tools, command)
        warnings += misnamed(report, survey, project, tools)
        warnings += _correct_sizes(project, survey, tools, write=not locked and not frozen)
        report = replace(excused(report, survey.optional), unlocked=() if answer is None else answer.refused)
        done = not report.errors and not report.plan.of(Verb.CONFLICT) and not report.unfinished
        in_sync = (
            done and survey.is_locked and not survey.unmet and not survey.left_out and not survey.plan.withheld
        )
        note_links(project, survey)
        if scope.is_whole:
            note_completion(project, survey, state() if in_sync else None, project.looks(tools.latest))
        else:
            note_placed(project, survey)
    surveyed = _untold(survey, answer)
    return replace(report, warnings=(*warnings, *surveyed, *tools.transfers().heard(), *report.warnings))


def _untold(survey: Survey, answer: Locked | None) -> list[str]:
    """The warnings of a survey, without those about optional models of which the lock has said more just now."""
    told = set() if answer is None else set(map(not_locked, answer.left_out))
    return [text for text in survey.warnings if text not in told]


def _correct_sizes(project: Project, survey: Survey, tools: Tools, *, write: bool) -> list[str]:
    """Warn of sizes in the lockfile that the bytes contradict; with `write`, correct them."""
    sized = with_true_sizes(project.lockfile, tools.store.true_size)
    if sized is project.lockfile:
        return []
    fetched = {action.sha256 for action in survey.plan.of(Verb.FETCH)}
    warnings = wrong_sizes(project.lockfile, sized, corrected=write, known=fetched)
    if write:
        project.write_lockfile(sized)
    return warnings


def ask_for_lock(project: Project, trees: Iterable[Tree], tools: Tools) -> None:
    """Ask once for a sync that locks first: for the places of the models to lock, and for the roots."""
    if not (names := set(project.stale())) or not project.manifest.models:
        return
    entries = [entry for entry in project.manifest.entries() if entry.name in names]
    roots = tools.trust.roots(tree.target for tree in trees) if entries else ()
    tools.trust.require([*tools.trust.declared(entries), *roots])


def refresh_lock(project: Project, tools: Tools, *, locked: bool) -> Locked | None:
    """Lock stale models and write the lockfile; returns the result, or None if nothing had to be locked.

    With `locked`, a stale lockfile raises `OutOfDate`. A manifest without models changes no lockfile: it was rather
    emptied by accident. A site that refuses this region does not stop the models that are locked.
    """
    stale = project.stale()
    if locked:
        required = {entry.name for entry in expected(project.manifest.entries(), project.lockfile)}
        optional = {entry.name for entry in project.manifest.entries()} - required
        stale = tuple(name for name in stale if name not in optional)
    if not stale:
        return None
    if locked:
        if (absent := project.no_lockfile()) is not None:
            raise OutOfDate(f"{absent}, and --locked needs it", hint="restore it from git, or run `synapse lock`")
        raise OutOfDate(f"{LOCKFILE} does not answer {MANIFEST} for {listed(stale)}", hint="run `synapse lock`")
    from synapse_sync.engine.lock import Locked, resolve, undone  # a sync of locked models starts without it

    if not project.manifest.models:
        words = f"{MANIFEST} declares no model; {LOCKFILE} is left unchanged (`synapse lock` empties it)"
        return Locked(lockfile=project.lockfile, warnings=(words,))
    project.check_writable()
    answer = resolve(project.manifest, project.lockfile, tools, go_on=True)
    with undone(answer):
        project.write_lockfile(answer.lockfile)
    _note_changes(answer.changes, tools)
    return answer


def _note_changes(changes: Sequence[Change], tools: Tools) -> None:
    """Say what was locked; many models of which only the facts are new, as for previews, are one line."""
    same = [change for change in changes if change.kind == "changed" and change.before == change.after]
    if len(same) > _FEW:
        tools.reporter.note(f"locked again in the same versions: {count_text(len(same), 'model')}")
    for change in changes:
        if len(same) > _FEW and change in same:
            continue
        gone = f"{change.kind}: {change.name}"
        known = f"locked {change.name}  {change.after}"
        if change.kind == "renamed":
            known = f"`{change.before}` is called `{change.name}` now"
        tools.reporter.note(gone if change.after is None else known)


def check_prune(survey: Survey, confirm: Callable[[str], bool]) -> None:
    """Ask before a prune of more than ten files and more than half of all placed ones; no raises `InputError`.

    Where no model is declared any more, one file is enough for the question.
    """
    count = survey.pruned
    if count <= (0 if survey.emptied else max(10, survey.listed // 2)):
        return
    what = f"{count} of the {survey.listed} files that synapse placed or took over would be removed"
    if not confirm(f"{what}. Go on?"):
        raise InputError(
            f"{what}; nothing was done",
            hint="add `--yes` to remove them, or `--no-prune` to keep them",
        )


def check_before(survey: Survey, project: Project, tools: Tools) -> tuple[Survey, list[str]]:
    """Raise everything that preflight finds, together.

    Returns the survey with the part of its plan that can be carried out, and warnings about optional models.
    """
    placed = placed_roots(project)

    def problems(plan: Plan) -> list[SynapseError]:
        found = preflight(plan, project.manifest, survey.trees, tools, project=project.directory, placed=placed)
        kept = judged(survey.plan, plan, project.lockfile.models)
        return [*violations(project.manifest.rules, kept), *found]

    plan, warnings = admitted(survey.plan, survey.optional, problems)
    for text in apart(plan, survey.trees, tools.store):
        tools.reporter.warn(text)
    return replace(survey, plan=plan, left_out=bool(warnings)), warnings


def carry_out(survey: Survey, project: Project, tools: Tools, command: str) -> Report:
    """Execute the plan of a survey; failures of single files are in the report."""
    entries = {entry.name: entry for entry in project.manifest.entries()}
    looks = project.looks(tools.latest)
    return execute(
        survey.plan,
        survey.trees,
        survey.observed,
        store=tools.store,
        fetch=tools.transfers().fetch,
        bring=lambda companions: _bring(companions, looks, tools, project) if companions else {},
        reporter=tools.reporter,
        command=command,
        allowed=lambda model, name: permissions_for(entries.get(model), name, tools.forbidden),
        looks=looks,
    )


def misnamed(report: Report, survey: Survey, project: Project, tools: Tools) -> list[str]:
    """Warnings about files that just came, and are something else than their site or the manifest says."""
    came = {o.action.sha256 for o in report.outcomes if o.action.verb is Verb.FETCH and o.error is None}
    if not came:
        return []
    placed = {
        o.action.sha256: survey.trees[o.action.target].root / o.action.path
        for o in report.outcomes
        if o.action.verb in (Verb.PLACE, Verb.REPLACE) and o.error is None
    }

    def where(file: Artifact) -> Path | None:
        blob = tools.store.path(file.sha256)
        return blob if blob.is_file() else placed.get(file.sha256)

    models = (model for model in project.lockfile.models if model.artifacts[0].sha256 in came)
    return contradicted(project, models, where, tools)


def contradicted(
    project: Project, models: Iterable[LockedModel], where: Callable[[Artifact], Path | None], tools: Tools
) -> list[str]:
    """Warnings about locked models whose files are something else than their site or the manifest says.

    `where` returns the path of a file, or None. Without memory for the look there is one warning that says so.
    """
    try:
        from synapse_sync.engine.headers import contradictions

        return contradictions(project.manifest, models, where, tools)
    except MemoryError:
        # Hazard: all files are in place. From here Python would have to leave a dozen blocks without memory, and
        # crashes on the way; what was made for this look is free once the error is dropped.
        return [_UNCOMPARED]


def _bring(
    companions: Sequence[Companion], looks: Looks, tools: Tools, project: Project
) -> Mapping[Key, bytes | LeftOut]:
    """The content of previews and sidecars."""
    from synapse_sync.engine.companions import Desk, bring  # most projects have none
    from synapse_sync.store.answers import Answers
    from synapse_sync.store.preview_cache import PreviewCache

    desk = Desk(
        sources=tools.sources,
        wire=tools.wire,
        previews=PreviewCache(tools.store.root),
        retry=tools.retry,
        offline=tools.offline,
        locked_only=project.manifest.workspace.reproducible,
        bundled=Answers(project.store, project.key).get,
    )
    return bring(companions, looks, desk)

"""Execute: walk a plan. Supply the blobs, call the tree for each action, gather the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from synapse_sync.core.companion import Companion, LeftOut
from synapse_sync.core.look import Looks
from synapse_sync.core.plan import Action, Key, Observed, Plan, Verb
from synapse_sync.core.policy import Permissions, facts_of
from synapse_sync.core.report import Outcome, Report
from synapse_sync.core.reporter import Reporter
from synapse_sync.errors import SynapseError
from synapse_sync.layouts import LAYOUTS, ui_folders
from synapse_sync.store.aside import keep_changed
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.ownership import Tree
from synapse_sync.store.receipt import keep_apart
from synapse_sync.store.tree import TreeWriter
from synapse_sync.transfer.inspect import inspect_file
from synapse_sync.transfer.want import Fetcher, Got, want_of

_UNDATED = Looks()
#: Returns the content of each companion by its key, or why it is left out.
Bringer = Callable[[Sequence[Companion]], Mapping[Key, bytes | LeftOut]]


def _nothing_allowed(model: str, name: str) -> Permissions:
    return Permissions()


def execute(
    plan: Plan,
    trees: Mapping[str, Tree],
    observed: Mapping[Key, Observed],
    *,
    store: BlobStore,
    fetch: Fetcher,
    bring: Bringer = lambda companions: {},
    reporter: Reporter,
    command: str = "sync",
    allowed: Callable[[str, str], Permissions] = _nothing_allowed,
    looks: Looks = _UNDATED,
) -> Report:
    """Carry out a plan: bring the blobs, place them, write companions, prune.

    `trees` are the targets by name, `observed` is the state that the plan was made from. `fetch` brings bytes into
    `store`, `bring` returns the content of companions. `reporter` receives each outcome, `command` is the verb
    for the journal. `allowed` returns the permissions for a model's file of a name. `looks` has modes and times.

    A failure stops its own path only, and is in the report. A companion without content is left out. Nothing is
    pruned in a run that had an error. The receipts are written whatever happens, also on Ctrl-C; a receipt that
    cannot be written raises its `StorageError` or `Conflict`.
    """
    for name in {action.target for action in plan.actions if action.target}:
        if LAYOUTS[trees[name].target.layout].repositories:
            keep_apart(trees[name].root)
    writer = TreeWriter(plan, trees, observed, store=store, command=command, folders=ui_folders(), looks=looks)
    run = _Run(writer=writer, store=store, reporter=reporter, allowed=allowed)
    for action in plan.of(Verb.PLACE, Verb.REPLACE):
        # A link has the bytes of another path, which is asked about.
        if action.leads_to:
            continue
        run.uses.setdefault(action.sha256, []).append(action)
    run.warnings += keep_changed(plan, trees, observed, store=store, command=command)
    run.supply(plan.of(Verb.FETCH, Verb.SALVAGE), fetch)
    try:
        for action in plan.actions:
            if action.verb in (Verb.PLACE, Verb.REPLACE, Verb.ADOPT, Verb.CONFLICT):
                run.attempt(action)
        run.accompany(plan.of(Verb.WRITE, Verb.MERGE), bring)
        failed = any(outcome.error is not None for outcome in run.outcomes)
        for action in plan.of(Verb.PRUNE, Verb.FORGET, Verb.KEEP):
            if failed:
                run.outcomes.append(Outcome(action=action, detail="skipped: another action failed"))
                continue
            run.attempt(action)
    finally:
        writer.write_receipts()
    return Report(
        plan=plan,
        outcomes=tuple(run.outcomes),
        warnings=tuple(run.warnings),
        fetched_bytes=run.fetched,
        remote_fetched_bytes=run.remote_fetched,
        copied_files=run.copied_files,
        copied_bytes=run.copied_bytes,
        unfinished=run.unfinished,
    )


@dataclass(slots=True)
class _Run:
    """One execution: the outcomes so far."""

    writer: TreeWriter
    store: BlobStore
    reporter: Reporter
    allowed: Callable[[str, str], Permissions] = _nothing_allowed
    uses: dict[str, list[Action]] = field(default_factory=dict)  # actions on paths, by blob
    outcomes: list[Outcome] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failed: dict[str, SynapseError] = field(default_factory=dict)  # blobs that could not be supplied
    fetched: int = 0
    remote_fetched: int = 0
    copied_files: int = 0
    copied_bytes: int = 0
    unfinished: bool = False

    def supply(self, actions: Sequence[Action], fetch: Fetcher) -> None:
        """Bring every needed blob into the store; its failure becomes that of each path that needs it."""
        missing = [action for action in actions if not (action.verb is Verb.SALVAGE and self._salvage(action))]
        wants = [
            want_of(
                a.artifact,
                f"{a.model} ({a.artifact.filename})",
                allowed=self.allowed(a.model, a.artifact.filename),
                names=[use.shown_path for use in self.uses.get(a.sha256, ())],
            )
            for a in missing
            if a.artifact is not None
        ]
        for action, got in zip(missing, fetch(wants) if wants else (), strict=True):
            error = got.of(action.model) if isinstance(got, SynapseError) else None
            if error is not None:
                self.failed[action.sha256] = error
            else:
                self.writer.arrived(action.sha256)
            self._note(self._brought(action, got, error))

    def _brought(self, action: Action, got: Got | SynapseError, error: SynapseError | None) -> Outcome:
        """The outcome for a blob that was to be brought, counted by where it came from."""
        if not isinstance(got, Got):
            return Outcome(action=action, error=error)
        taken = got.remote or got.taken_from
        self.fetched += got.fetched_bytes
        self.copied_bytes += got.copied_bytes
        if got.remote:
            self.remote_fetched += got.fetched_bytes
        else:
            self.copied_files += action.verb is Verb.FETCH and got.taken_from is not None
        detail = f"from {taken}" if taken else None
        return Outcome(action=action, detail=detail, remote=got.remote, downloaded=not taken)

    def _salvage(self, action: Action) -> bool:
        """Copy a blob back from a tree that has the same bytes; False if none has."""
        path = self.writer.salvage(action.sha256)
        if path is None:
            return False
        error = self._inspected(action.sha256)
        if error is not None:
            self.failed[action.sha256] = error
        self._note(Outcome(action=action, error=error, detail=f"from {path}"))
        return True

    def _inspected(self, sha256: str) -> SynapseError | None:
        """The reason why a blob from a tree must not be placed, or None: it is judged like a download."""
        for use in self.uses.get(sha256, ()):
            if use.artifact is None:
                continue
            facts = replace(
                facts_of(use.artifact, use.model, use.shown_path), scan=None
            )  # preflight judged the scan
            try:
                inspect_file(self.store.path(sha256), facts, self.allowed(use.model, use.artifact.filename))
            except SynapseError as error:
                return error.of(use.model)
        return None

    def accompany(self, actions: Sequence[Action], bring: Bringer) -> None:
        """Write the companions of weights that are in place; others are left out."""
        absent = {(o.action.target, o.action.path) for o in self.outcomes if o.error is not None}
        ready: list[Action] = []
        for action in actions:
            assert action.companion is not None
            if (action.target, action.companion.beside.text) in absent:
                self._note(Outcome(action=action, detail="its model is not there", left_out=True))
            else:
                ready.append(action)
        contents = bring([action.companion for action in ready if action.companion is not None])
        for action in ready:
            content = contents[(action.target, action.path)]
            if isinstance(content, LeftOut):
                self._leave_out(action, content)
            else:
                self.attempt(action, content)

    def _leave_out(self, action: Action, left: LeftOut) -> None:
        assert action.companion is not None
        self.unfinished |= left.passing
        self.warnings.append(f"`{action.model}`: no {action.companion.kind}: {left.why}")
        self._note(Outcome(action=action, detail=left.why, left_out=True))

    def attempt(self, action: Action, content: bytes | None = None) -> None:
        """Carry out one action on a path, and note the outcome."""
        error = self.failed.get(action.sha256) if action.verb in (Verb.PLACE, Verb.REPLACE) else None
        detail: str | None = None
        if error is None:
            try:
                detail = self.writer.carry_out(action, content)
            except SynapseError as problem:
                error = problem
        self._note(Outcome(action=action, error=error and error.of(action.model), detail=detail))
        self.writer.save_sometimes()

    def _note(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.reporter.action_done(outcome)

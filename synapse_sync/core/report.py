"""The report of a sync: the outcome of each action, and the exit code that sums them up."""

from __future__ import annotations

import shlex
from typing import Any, Self

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.plan import Action, Plan, Verb
from synapse_sync.core.size_text import size_text
from synapse_sync.errors import Conflict, SynapseError, raise_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one action: done, or the error. `detail` says how, for example by which link mode.

    `remote` is the address of the remote that had the bytes.
    """

    action: Action
    error: SynapseError | None = None
    detail: str | None = None
    remote: str | None = None
    downloaded: bool = False  # a site had the bytes, whatever was expected
    left_out: bool = False  # a companion or an optional model was not available: reported, no failure

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as `--json` prints it."""
        return {
            **self.action.to_dict(),
            "done": self.error is None and not self.left_out,
            "detail": self.detail,
            "error": None if self.error is None else self.error.to_dict(),
        }

    def __repr__(self) -> str:
        word = "failed" if self.error is not None else "skipped" if self.left_out else "done"
        return f"<Outcome {word}: {self.action.verb.value} {self.action.model}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a sync.

    `fetched_bytes` came over the network, `remote_fetched_bytes` of them from remotes. `copied_files` were taken
    from elsewhere on this machine instead of a download (a local source, another program's cache); `copied_bytes`
    were copied for that, or from the directory of a remote. `unlocked` are the failures of models that could not
    be locked, while the others were synced.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    warnings: tuple[str, ...] = ()
    fetched_bytes: int = 0
    remote_fetched_bytes: int = 0
    copied_files: int = 0
    copied_bytes: int = 0
    unlocked: tuple[SynapseError, ...] = ()
    unfinished: bool = False  # a companion was left out, and the next sync may succeed

    @property
    def errors(self) -> tuple[SynapseError, ...]:
        """Every distinct failure, conflicts included: first of models without a lock, then by the actions."""
        failed = (outcome.error for outcome in self.outcomes if outcome.error is not None)
        seen: dict[tuple[str | None, str], SynapseError] = {}
        # The blob and all its paths share one error. Two models may fail in the same words, and are two failures.
        for error in (*self.unlocked, *failed):
            seen.setdefault((error.subject, error.message), error)
        return tuple(seen.values())

    @property
    def ok(self) -> bool:
        """Whether no action failed."""
        return not self.errors

    def raise_for_errors(self) -> Self:
        """Raise the only failure, or all of them as `Several`; without any, return the report itself."""
        raise_all(self.errors)
        return self

    @property
    def exit_code(self) -> int:
        """0, the code that all failures share, or 1 for failures of several kinds."""
        codes = {error.exit_code for error in self.errors}
        return 0 if not codes else codes.pop() if len(codes) == 1 else 1

    def done(self, *verbs: Verb) -> int:
        """How many actions with one of these verbs succeeded."""
        return sum(o.error is None and not o.left_out and o.action.verb in verbs for o in self.outcomes)

    @property
    def written(self) -> int:
        """How many previews and sidecars were written or updated."""
        beside = [o for o in self.outcomes if o.action.verb in (Verb.WRITE, Verb.MERGE)]
        return sum(o.error is None and not o.left_out for o in beside)

    @property
    def _from_remotes(self) -> list[Action]:
        """The actions whose bytes a remote had, whatever was expected."""
        return [outcome.action for outcome in self.outcomes if outcome.remote and outcome.error is None]

    @property
    def remote_bytes(self) -> int:
        """The size of the files that remotes had, in bytes."""
        return sum(action.size for action in self._from_remotes)

    def summary(self) -> str:
        """Return one line that counts the outcomes: `2 downloaded (1.5 GB), 2 placed`."""
        remote = [action.verb for action in self._from_remotes]
        lost = sum(outcome.downloaded and outcome.action.verb is Verb.SALVAGE for outcome in self.outcomes)
        downloaded = self.done(Verb.FETCH) - self.copied_files - remote.count(Verb.FETCH) + lost
        from_sites = self.fetched_bytes - self.remote_fetched_bytes
        parts = [
            (downloaded, f"downloaded ({size_text(from_sites)})"),
            (len(remote), f"from a remote ({size_text(self.remote_bytes)})"),
            (self.copied_files, f"copied from this machine ({size_text(self.copied_bytes)})"),
            (self.done(Verb.SALVAGE) - remote.count(Verb.SALVAGE) - lost, "found on this machine"),
            (self.done(Verb.PLACE), "placed"),
            (self.done(Verb.REPLACE), "replaced"),
            (self.done(Verb.ADOPT), "adopted"),
            (self.written, "previews and sidecars" if self.written > 1 else "preview or sidecar"),
            (self.done(Verb.PRUNE) if not self.errors else 0, "pruned"),
            (self.plan.unchanged, "unchanged"),
            (self.plan.withheld, "kept, no longer declared"),
            (self.plan.spared, "kept (--no-prune)"),
            (len(self.errors), "failed"),
        ]
        words = [f"{count:,} {word}" for count, word in parts if count]
        return ", ".join(words) or "nothing to do"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as `synapse sync --json` prints it."""
        return {
            **self.plan.to_dict(),
            "in_sync": self.ok and not self.plan.withheld,
            "not_locked": [error.model for error in self.unlocked],
            "lock_errors": [error.to_dict() for error in self.unlocked],
            "warnings": list(self.warnings),
            "fetched_bytes": self.fetched_bytes,
            "copied_bytes": self.copied_bytes,
            "remote_files": len(self._from_remotes),
            "remote_bytes": self.remote_bytes,
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
            "exit_code": self.exit_code,
        }

    def __repr__(self) -> str:
        return f"<Report: {self.summary()}>"


#: What helps where a link into another target is in the way: that target has the folder already.
OTHER_TARGETS = "name other `targets` for the model"


def lock_what_is_there(model: str) -> str:
    """The hint for a changed file whose locked bytes no place has any more."""
    return f"its bytes are yours now: `synapse lock --upgrade-model {shlex.quote(model)}` locks what is there"


def conflict_error(action: Action) -> Conflict:
    """The error for a path where something that synapse did not place is in the way."""
    # A hint must work when typed: `--force` moves files only, never a directory or a link.
    # Another name does not help where a directory on the way is barred, as by a link into another target.
    other = "set another `filename` for the model" if action.movable else OTHER_TARGETS
    hint = f"move or rename what is in the way, or {other}"
    if action.lockable:
        hint = lock_what_is_there(action.model)
    if action.takable:
        hint = f"`synapse trust --take {shlex.quote(action.model)}` hands the file to synapse; or {hint}"
    return Conflict(
        f"`{action.path}` in target `{action.target}`: {action.reason}; left as it is",
        hint=f"{hint}; `--force` moves a file aside" if action.movable else hint,
        subject=action.model,
    )

"""Optional models: a failure of one is a warning, and everything else goes on without it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.plan import Action, Plan, Verb
from synapse_sync.core.report import Report
from synapse_sync.errors import RegionRefused, Several, SynapseError, raise_all


def optional_names(entries: Iterable[Requirement]) -> frozenset[str]:
    """The names of the optional models among requirements."""
    return frozenset(entry.name for entry in entries if entry.optional)


def to_leave_out(error: SynapseError, optional: frozenset[str], *, abroad: bool = False) -> dict[str, SynapseError]:
    """The first error of each model that has to be left out; none if a required model failed as well.

    With `abroad`, a required model is left out where its site refuses this region.
    """
    errors = error.errors if isinstance(error, Several) else (error,)
    if any(each.model not in optional and not (abroad and isinstance(each, RegionRefused)) for each in errors):
        return {}
    return {each.model: each for each in reversed(errors) if each.model is not None}


def required_only(error: SynapseError, optional: frozenset[str]) -> list[SynapseError]:
    """The failures of required models, where optional ones failed beside them; else none."""
    errors = error.errors if isinstance(error, Several) else ()
    required = [each for each in errors if each.model not in optional]
    return required if len(required) < len(errors) else []


def warning(name: str, error: SynapseError) -> str:
    """The warning about an optional model that is left out."""
    hint = f"; {error.hint}" if error.hint and "\n" not in error.hint else ""
    return f"optional model `{name}` is left out: {error.message}{hint}"


def not_locked(name: str) -> str:
    """The warning about an optional model without a pin, where nothing was tried just now."""
    return f"optional model `{name}` is not locked; each lock and sync tries it again"


def admitted(
    plan: Plan, optional: frozenset[str], problems: Callable[[Plan], Sequence[SynapseError]]
) -> tuple[Plan, list[str]]:
    """The part of a plan that can be carried out, and warnings about the optional models that are not in it.

    `problems` returns every reason why a plan cannot be carried out. Raises all of them where the required models
    alone have one.
    """
    found = problems(plan)
    tried = sorted(optional & {action.model for action in plan.actions})
    if not found or not tried:
        raise_all(found)
        return plan, []
    kept = _without(plan, tried)
    if problems(kept):
        raise_all(found)
    warnings, left = [], set(tried)
    for name in tried:
        more = _without(plan, left - {name})
        if against := problems(more):
            warnings.append(warning(name, against[0]))
        else:
            kept, left = more, left - {name}
    return kept, warnings


def judged(whole: Plan, kept: Plan, models: Iterable[LockedModel]) -> list[LockedModel]:
    """The locked models without those that a plan left out: the rules of the project do not judge them."""
    gone = {action.model for action in whole.actions} - {action.model for action in kept.actions}
    return [model for model in models if model.name not in gone]


def _without(plan: Plan, models: Collection[str]) -> Plan:
    """A plan without the actions of some models."""
    return replace(plan, actions=tuple(action for action in plan.actions if action.model not in models))


def awaited(plan: Plan, optional: Collection[str]) -> tuple[Action, ...]:
    """The actions that wait for a download of an optional model: only its site knows whether it comes.

    They are the downloads, the places of those bytes where nothing is yet, and what is written beside them. They
    are work for a sync, and no reason for a check to fail: where the site refuses, no sync could end the failure.
    """
    fetches = [action for action in plan.of(Verb.FETCH) if action.model in optional]
    digests = {action.sha256 for action in fetches}
    places = [a for a in plan.of(Verb.PLACE) if a.model in optional and a.sha256 in digests]
    keys, placed = {(a.target, a.path) for a in places}, {a.sha256 for a in places}
    beside = (a for a in plan.of(Verb.WRITE) if a.companion is not None)
    return (
        *(action for action in fetches if action.sha256 in placed),
        *places,
        *(a for a in beside if a.companion is not None and (a.target, a.companion.beside.text) in keys),
    )


def excused(report: Report, optional: frozenset[str]) -> Report:
    """The report with the failures of optional models as warnings; the next sync tries them again."""
    failed: dict[str, SynapseError] = {}
    outcomes = []
    for outcome in report.outcomes:
        if outcome.error is not None and outcome.action.model in optional:
            failed.setdefault(outcome.action.model, outcome.error)
            outcome = replace(outcome, error=None, left_out=True, detail=outcome.error.message)
        outcomes.append(outcome)
    if not failed:
        return report
    warnings = (warning(name, error) for name, error in failed.items())
    return replace(report, outcomes=tuple(outcomes), warnings=(*report.warnings, *warnings), unfinished=True)

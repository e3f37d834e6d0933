"""Optional models: a failure of one is a warning, and everything else goes on without it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.plan import Plan
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


def _without(plan: Plan, models: Collection[str]) -> Plan:
    """A plan without the actions of some models."""
    return replace(plan, actions=tuple(action for action in plan.actions if action.model not in models))


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

"""JSON values: plans, reports and errors as `--json` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synapse_sync.core.plan import Action, Plan
    from synapse_sync.core.report import Report
    from synapse_sync.core.trust import Capability
    from synapse_sync.engine.survey import Survey
    from synapse_sync.engine.unmanaged import Unmanaged
    from synapse_sync.errors import SynapseError


def error_value(error: SynapseError) -> dict[str, Any]:
    """Return an error for `--json`."""
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "model": error.subject,
        "exit_code": error.exit_code,
    }


def action_value(action: Action) -> dict[str, Any]:
    """Return an action for `--json`."""
    return {
        "verb": action.verb.value,
        "model": action.model,
        "target": action.target or None,
        "path": action.path or None,
        "sha256": action.sha256 or None,
        "size": action.size,
        "reason": action.reason,
    }


def survey_value(survey: Survey) -> dict[str, Any]:
    """Return a survey for `--json`: its plan, and how the lockfile differs from the manifest."""
    plan = plan_value(survey.plan, warnings=survey.warnings)
    return plan | {
        "in_sync": survey.in_sync,
        "not_locked": list(survey.stale),
        "renamed": list(survey.renamed),
        "not_declared": list(survey.dropped),
        "asks": [capability_value(one) for one in survey.asks],
    }


def unmanaged_value(others: Sequence[Unmanaged]) -> list[dict[str, Any]]:
    """Return the files that synapse did not place, for `--json`."""
    return [{"target": each.target, "path": each.path, "size": each.size} for each in others]


def capability_value(one: Capability) -> dict[str, str]:
    """Return something that a project may do with its user's consent, for `--json`."""
    return {"kind": one.kind.value, "value": one.value}


def plan_value(plan: Plan, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return a plan for `--json`, with an up-to-date lockfile."""
    return {
        "in_sync": plan.in_sync,
        "unchanged": plan.unchanged,
        "fetch_bytes": plan.fetch_bytes,
        "not_locked": [],
        "renamed": [],
        "not_declared": [],
        "asks": [],
        "withheld": plan.withheld,
        "actions": [action_value(action) for action in plan.actions],
        "warnings": list(warnings),
    }


def in_sync_value(files: int) -> dict[str, Any]:
    """Return the plan of a project that is in sync, for `--json`: `files` are in place."""
    from synapse_sync.core.plan import Plan

    return plan_value(Plan(unchanged=files))


def nothing_done_value(files: int) -> dict[str, Any]:
    """Return the report of a sync with nothing to do, for `--json`: `files` are in place."""
    from synapse_sync.core.plan import Plan
    from synapse_sync.core.report import Report

    return report_value(Report(plan=Plan(unchanged=files)))


def report_value(report: Report) -> dict[str, Any]:
    """Return a report for `--json`."""
    return {
        **plan_value(report.plan, warnings=report.warnings),
        "in_sync": not report.errors and not report.plan.withheld,
        "fetched_bytes": report.fetched_bytes,
        "copied_bytes": report.copied_bytes,
        "outcomes": [
            {
                **action_value(outcome.action),
                "done": outcome.error is None and not outcome.left_out,
                "detail": outcome.detail,
                "error": None if outcome.error is None else error_value(outcome.error),
            }
            for outcome in report.outcomes
        ],
        "exit_code": report.exit_code,
    }

"""JSON values of a project in sync, for which the quick answers make no plan and no report."""

from __future__ import annotations

from typing import Any


def in_sync_value(files: int) -> dict[str, Any]:
    """Return the plan of a project that is in sync, for `--json`: `files` are in place."""
    from synapse_sync.core.plan import Plan

    return Plan(unchanged=files).to_dict()


def nothing_done_value(files: int) -> dict[str, Any]:
    """Return the report of a sync with nothing to do, for `--json`: `files` are in place."""
    from synapse_sync.core.plan import Plan
    from synapse_sync.core.report import Report

    return Report(plan=Plan(unchanged=files)).to_dict()

"""`synapse lock`: pin versions and hashes."""

from __future__ import annotations

import click

from synapse_sync.cli.console import Console, count_text
from synapse_sync.cli.options import common


@click.command("lock", short_help="Pin versions and hashes in synapse.lock")
@click.option("--upgrade", is_flag=True, help="Ask for newer versions of all models (as their policies allow).")
@click.option("--upgrade-model", "names", multiple=True, metavar="NAME", help="Only of these (repeatable).")
@click.option("--check", is_flag=True, help="Change nothing; exit 8 if the lockfile does not answer the manifest.")
@click.option("--exclude-newer", metavar="DATE", help="Resolve as of this day (YYYY-MM-DD) or instant.")
@click.option("--offline", is_flag=True, help="Never open a connection.")
@common
@click.pass_obj
def command(
    console: Console, upgrade: bool, names: tuple[str, ...], check: bool, exclude_newer: str | None, offline: bool
) -> int:
    """Turn every requirement of synapse.toml into pinned versions with hashes in synapse.lock.

    What is locked and unchanged is not asked about again.
    """
    from synapse_sync.errors import OutOfDate
    from synapse_sync.workspace import Workspace

    newer = _instant(exclude_newer)
    if check and (upgrade or names):
        raise click.UsageError("--check goes with neither --upgrade nor --upgrade-model")
    with Workspace.find(console.directory, reporter=console.reporter(), offline=offline) as workspace:
        locked = workspace.lock(upgrade=None if upgrade else frozenset(names), exclude_newer=newer, check=check)
    if console.as_json:
        console.document(
            {
                "changes": [
                    {"kind": c.kind, "name": c.name, "before": c.before, "after": c.after} for c in locked.changes
                ],
                "models": len(locked.lockfile.models),
                "warnings": list(locked.warnings),
            }
        )
    for warning in locked.warnings:
        console.warn(warning)
    if check and locked.changes:
        stale = ", ".join(f"`{change.name}`" for change in locked.changes)
        if not console.as_json:
            console.failure(
                OutOfDate(f"synapse.lock does not answer synapse.toml for {stale}", hint="run `synapse lock`")
            )
        return OutOfDate.exit_code
    console.changes(locked.changes)
    state = "changed" if locked.changes else "up to date"
    console.say(f"synapse.lock {state}: {count_text(len(locked.lockfile.models), 'model')}")
    return 0


def _instant(text: str | None) -> str | None:
    """A day or an instant as an ISO 8601 instant in UTC; a day is meant with all its hours."""
    from datetime import UTC, datetime, timedelta

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"`{text}` is not a date like 2026-01-31", param_hint="--exclude-newer") from None
    if len(text) <= 10:
        moment += timedelta(days=1)  # what was published on that very day counts
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

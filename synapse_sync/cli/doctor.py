"""`synapse doctor`: check everything that a sync depends on."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.complete import site_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, offline
from synapse_sync.cli.render import table_lines
from synapse_sync.cli.texts import count_text, fold_text, text_width
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.engine.doctor import Finding
    from synapse_sync.engine.without import Remaining

_COLORS = {"ok": "green", "note": None, "warning": "yellow", "fault": "red"}


@click.command("doctor")
@click.option(
    "--without",
    "host",
    metavar="SITE|HOST",
    shell_complete=site_names,
    help="Say which models could still be had without this site or host.",
)
@offline
@common
@click.pass_obj
def command(console: Console, host: str | None, offline: bool) -> int:
    """Check what a sync depends on: settings, stores, targets (a file of one byte is placed in each for a moment),
    the project, tokens and their accounts, sites, and the clock. Each fault comes with its mend.

    Exit 0 if nothing has to be mended. With --without, exit 4 if a model would be lost; no site is asked.
    """
    from synapse_sync.workspace import Workspace

    if host is not None:
        with Workspace.find(console.directory, offline=True) as workspace:
            return _show_remaining(console, workspace.without(host), host)
    with Workspace.anywhere(console.directory, offline=offline) as workspace:
        return _show_findings(console, workspace.doctor())


def _show_findings(console: Console, findings: Sequence[Finding]) -> int:
    codes = {finding.code for finding in findings if finding.state == "fault"}
    code = 0 if not codes else codes.pop() if len(codes) == 1 else 1
    if console.as_json:
        values = [
            {"topic": each.topic, "state": each.state, "text": each.text, "mend": each.mend, "exit_code": each.code}
            for each in findings
        ]
        console.document({"findings": values, "exit_code": code})
        return code
    states = max(map(len, _COLORS))
    topics = max((text_width(finding.topic) for finding in findings), default=0)
    indent = states + topics + 4
    for finding in findings:
        if console.quiet and finding.state in ("ok", "note"):
            continue
        state = click.style(finding.state.ljust(states), fg=_COLORS[finding.state])
        topic = finding.topic + " " * (topics - text_width(finding.topic))
        console.answer(f"{state}  {topic}  {fold_text(finding.text, indent, sys.stdout)}")
        if finding.mend is not None:
            mend = fold_text(finding.mend, indent + 6, sys.stdout)
            console.answer(f"{' ' * indent}{click.style('mend:', fg='cyan')} {mend}")
    counts = Counter(finding.state for finding in findings)
    words = [count_text(counts[state], state) for state in ("fault", "warning") if counts[state]]
    console.say(" and ".join(words) if words else "nothing to mend")
    return code


def _show_remaining(console: Console, models: Sequence[Remaining], host: str) -> int:
    from synapse_sync.errors import NotFound

    lost = [model for model in models if model.lost]
    code = NotFound.exit_code if lost else 0
    if console.as_json:
        values = [
            {"name": model.name, "places": list(model.places), "lost": list(model.lost), "lost_bytes": model.size}
            for model in models
        ]
        console.document({"without": host, "models": values, "exit_code": code})
        return code
    rows = [(model.name, _state(model), ", ".join(model.places)) for model in models]
    if rows:
        console.answers(table_lines(rows, ("name", f"without {host}", "from")))
    if not lost:
        console.say(f"without {host}, {count_text(len(models), 'model')} can still be had")
        return code
    size = size_text(sum(model.size for model in lost))
    console.say(f"{count_text(len(lost), 'model')} of {len(models)} would be lost: {size}")
    console.say(
        "`synapse sync` brings them into the store while the site answers; `synapse lock --heal` finds mirrors"
    )
    return code


def _state(model: Remaining) -> str:
    if not model.lost:
        return "can be had"
    return "lost" if not model.places else f"lost: {count_text(len(model.lost), 'file')}"

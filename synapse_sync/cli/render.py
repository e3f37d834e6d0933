"""Render: plans, reports, changes and tables as lines of text; `Console` prints them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.texts import (
    cell_text,
    count_text,
    end_text,
    fit_text,
    fold_text,
    has_width,
    middle_text,
    on_terminal,
    plain_text,
    terminal_width,
    text_width,
    wrapped,
)
from synapse_sync.core.nearest import did_you_mean, meant, suggestion
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.freshness import Change
    from synapse_sync.core.plan import Action, Plan
    from synapse_sync.core.report import Outcome, Report

#: The sign and the colour of each verb of a plan.
_SIGNS = {
    "fetch": ("↓", "cyan"), "salvage": ("↑", "cyan"), "place": ("+", "green"), "replace": ("~", "yellow"),
    "adopt": ("=", "green"), "prune": ("-", "red"), "forget": ("·", None), "keep": ("·", None),
    "conflict": ("!", "red"), "write": ("+", "green"), "merge": ("~", "yellow"),
}  # fmt: skip
#: The verbs of previews and sidecars that are counted, and how many of them are still listed one by one.
_BESIDE = ("write", "merge")
_FEW = 3
#: The fewest columns in which paths can be told apart.
_LEAST_PATH = 24
_CHANGES = {
    "added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "renamed": ("~", "yellow"),
}  # fmt: skip


def plan_lines(plan: Plan, *, everything: bool = False) -> Iterator[str]:
    """Return the lines of a plan: first the downloads, then the actions by target.

    Previews and sidecars are counted in one line for each verb, unless `everything` is wanted.
    """
    from synapse_sync.core.plan import Verb

    fetches = plan.of(Verb.FETCH)
    if fetches:
        total = size_text(plan.fetch_bytes)
        yield click.style("to download", bold=True) + f"  {count_text(len(fetches), 'file')}, {total}"
        for action in fetches:
            name = action.artifact.filename if action.artifact is not None else action.sha256[:12]
            yield _line("fetch", f"{action.model}", f"{plain_text(name)}  {size_text(action.size)}")
    for target in dict.fromkeys(action.target for action in plan.actions if action.target):
        yield click.style(f"target {target}", bold=True)
        here = [action for action in plan.actions if action.target == target]
        beside = [] if everything else [a for a in here if a.companion is not None and a.verb.value in _BESIDE]
        if len(beside) <= _FEW:
            beside = []
        grouped = {id(action) for action in beside}
        yield from (_line(a.verb.value, a.path, _why(a)) for a in here if id(a) not in grouped)
        yield from _counted(beside)


def outcome_lines(report: Report, *, everything: bool = False) -> Iterator[str]:
    """Return the lines of a report: the outcome of each action on a path, by target.

    Previews and sidecars that were written are counted in one line for each verb, unless `everything` is wanted.
    """
    for target in dict.fromkeys(o.action.target for o in report.outcomes if o.action.target):
        yield click.style(f"target {target}", bold=True)
        here = [outcome for outcome in report.outcomes if outcome.action.target == target]
        beside = [] if everything else [outcome.action for outcome in here if _is_written_beside(outcome)]
        if len(beside) <= _FEW:
            beside = []
        grouped = {id(action) for action in beside}
        yield from (_outcome_line(outcome) for outcome in here if id(outcome.action) not in grouped)
        yield from _counted(beside)


def _is_written_beside(outcome: Outcome) -> bool:
    action = outcome.action
    is_done = outcome.error is None and not outcome.left_out
    return is_done and action.companion is not None and action.verb.value in _BESIDE


def _counted(actions: Sequence[Action]) -> Iterator[str]:
    """Return one line for all previews and sidecars with the same verb."""
    for verb in dict.fromkeys(action.verb.value for action in actions):
        kinds = [a.companion.kind for a in actions if a.verb.value == verb and a.companion is not None]
        previews = kinds.count("preview")
        counts = ((previews, "preview"), (len(kinds) - previews, "sidecar"))
        words = " and ".join(count_text(count, noun) for count, noun in counts if count)
        yield _line(verb, words, "beside their models")


def change_lines(changes: Sequence[Change]) -> Iterator[str]:
    """Return the lines of a lock: one for each model that was added, removed, changed or renamed."""
    for change in changes:
        sign, color = _CHANGES[change.kind]
        after = change.after or change.before or ""
        if change.before and change.after and change.before != change.after:
            after = f"{change.before} → {change.after}"
        if change.kind == "renamed":
            after = f"renamed, was {change.before}"
        yield signed_line(sign, color, change.name, plain_text(after))


def trigger_lines(models: Iterable[Iterable[str]]) -> list[str]:
    """Return the line below the row of each model about the words that a prompt needs; empty if it needs none."""
    return below_lines("words", (", ".join(words) for words in models))


def below_lines(name: str, texts: Iterable[str | None]) -> list[str]:
    """Return the line below each row of a table: a `name` and a text; empty where the row has no text."""
    label, indent = f"  {click.style(name, fg='cyan')}  ", len(name) + 4
    cells, is_folded = (cell_text(text or "") for text in texts), on_terminal(sys.stdout)
    return [text and label + (fold_text(text, indent, sys.stdout) if is_folded else text) for text in cells]


def table_lines(
    rows: Sequence[Sequence[str]],
    header: Sequence[str],
    *,
    shrink: int | Sequence[int] = (),
    paths: bool = False,
    below: Sequence[str] = (),
) -> Iterator[str]:
    """Return the lines of a table with aligned columns; `rows` and `header` are cells, which may come from outside.

    The column `shrink` becomes narrower where the table is wider than the terminal; of several, one after the
    other. The first column has names, which lose their middle. Without a terminal, or COLUMNS, nothing is cut.
    With `paths`, their cells are paths: they keep their ends, which differ, and at least 24 columns. `below` has a
    line for each row, left out where it is empty.
    """
    cells = [_cells(column) for column in zip(header, *rows, strict=True)]
    widths = [max(map(len if "".join(column).isascii() else text_width, column)) for column in cells]
    columns = (shrink,) if isinstance(shrink, int) else shrink
    for column in columns if has_width(sys.stdout) else ():
        over = sum(widths) + 2 * (len(widths) - 1) - terminal_width()
        least = min(widths[column], _LEAST_PATH) if paths else 8
        widths[column] = min(widths[column], max(text_width(header[column]), least, widths[column] - max(0, over)))
        if paths:
            cells[column] = [end_text(cell, widths[column]) for cell in cells[column]]
        elif column == 0:
            cells[column] = [middle_text(cell, widths[column]) for cell in cells[column]]
    fitted = [_fitted(column, width) for column, width in zip(cells, widths, strict=True)]
    for number, row in enumerate(zip(*fitted, strict=True)):
        text = "  ".join(row).rstrip()
        yield click.style(text, bold=True) if number == 0 else text
        if number and below and below[number - 1]:
            yield below[number - 1]


def is_too_wide(rows: Sequence[Sequence[str]], header: Sequence[str]) -> bool:
    """Whether a table of these cells is wider than the terminal, so that `table_lines` has to cut some."""
    widths = [max(map(text_width, _cells(column))) for column in zip(header, *rows, strict=True)]
    return has_width(sys.stdout) and sum(widths) + 2 * (len(widths) - 1) > terminal_width()


def _cells(column: Sequence[str]) -> Sequence[str]:
    """Return the cells of a column as `cell_text` returns each: at once where all are plain, as they nearly are."""
    text = "\n".join(("", *column, ""))
    plain = text.count("\n") == len(column) + 1 and text.isascii() and text.replace("\n", "").isprintable()
    plain = plain and not any(gap in text for gap in ("  ", "\n ", " \n"))
    return column if plain else list(map(cell_text, column))


def _fitted(column: Sequence[str], width: int) -> list[str]:
    """Return the cells of a column as `fit_text` returns each."""
    if "".join(column).isascii() and max(map(len, column)) <= width:
        return [cell.ljust(width) for cell in column]
    return [fit_text(cell, width) for cell in column]


def _line(verb: str, text: str, remark: str) -> str:
    sign, color = _SIGNS[verb]
    return signed_line(sign, color, plain_text(text), remark)


def signed_line(sign: str, color: str | None, text: str, remark: str, *, gap: str = "  ") -> str:
    """Return a line with a sign, a path or name, and a remark, which is below them where the terminal is narrow."""
    return f"  {click.style(sign, fg=color)} " + with_remark(text, remark, before=4, gap=gap)


def with_remark(text: str, remark: str, *, before: int = 0, gap: str = "  ") -> str:
    """Return a text and a remark, on a line of its own if both do not fit; `before` columns come before them."""
    if not remark:
        return text
    width = before + text_width(click.unstyle(text)) + len(gap) + text_width(remark)
    if not on_terminal(sys.stdout) or width <= terminal_width():
        return f"{text}{gap}{remark}"
    return f"{text}\n      {fold_text(remark, 6, sys.stdout)}"


def _why(action: Action) -> str:
    return plain_text(action.reason or ("" if action.verb.value != "place" else size_text(action.size)))


def _outcome_line(outcome: Outcome) -> str:
    action = outcome.action
    if outcome.error is not None:
        return _line("conflict", action.path, "not done")
    if outcome.left_out:
        return _line("keep", action.path, plain_text(f"skipped: {outcome.detail}"))
    remark = outcome.detail or action.reason or ""
    if action.verb.value in ("place", "replace"):
        remark = f"{size_text(action.size)}  {remark}"
    return _line(action.verb.value, action.path, plain_text(remark))


def usage_words(error: click.ClickException, verb: str | None) -> tuple[str, str]:
    """Return click's message about a command line in the tone of synapse, and a next step."""
    near = getattr(error, "possibilities", None)
    message = error.message if near else error.format_message().replace("\n\t", " ")  # click lists choices on lines
    context = getattr(error, "ctx", None)
    name = context.command_path if context is not None else f"synapse {verb or ''}".rstrip()
    hint = getattr(error, "hint", None) or (_near(error, near) if near else _choice(error))
    return message[:1].lower() + message[1:].rstrip("."), hint or f"`{name} --help` shows its options"


def _near(error: click.ClickException, near: Sequence[str]) -> str | None:
    """Return the hint about an unknown option or command; None if click's suggestions share little but dashes."""
    if (option := getattr(error, "option_name", None)) is None:
        return suggestion(str(getattr(error, "command_name", None) or ""), near, did_you_mean(near[0]))
    options = {name.lstrip("-"): name for name in near}
    found = meant(str(option).lstrip("-"), options)
    return None if found is None else did_you_mean(options[found])


def _choice(error: click.ClickException) -> str | None:
    """Return the hint about a word that is none of an option's choices."""
    parameter = getattr(error, "param", None)
    said = re.match(r"'(.*)' is not one of", error.message)
    if said is None or parameter is None or not isinstance(parameter.type, click.Choice):
        return None
    return suggestion(said[1], map(str, parameter.type.choices), "")


def word_lines(words: Mapping[str, str | None], indent: str, *, whole: bool = False) -> Iterator[str]:
    """Return aligned `name  value` lines, without empty values.

    A long value continues on the next line, unless it has to stay `whole`.
    """
    said = {cell_text(name): " ".join(text.split()) for name, text in words.items() if text}
    names = max(map(len, said), default=0)
    room = terminal_width() - len(indent) - names - 2
    for name, text in said.items():
        for number, part in enumerate([text] if whole else wrapped(text, room)):
            label = (name if number == 0 else "").ljust(names)
            shown = click.style(label, fg="cyan") if number == 0 else label
            yield f"{indent}{shown}  {cell_text(part)}"

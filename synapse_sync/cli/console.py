"""The console: all that is printed. Answers go to stdout, talk and progress to stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from synapse_sync.engine.reporter import Reporter
from synapse_sync.errors import Several, SynapseError

if TYPE_CHECKING:
    from synapse_sync.core.freshness import Change
    from synapse_sync.core.plan import Action, Plan
    from synapse_sync.core.report import Outcome, Report

_UNITS = ("B", "kB", "MB", "GB", "TB")
_SIGNS = {
    "fetch": ("↓", "cyan"), "salvage": ("↑", "cyan"), "place": ("+", "green"), "replace": ("~", "yellow"),
    "adopt": ("=", "green"), "prune": ("-", "red"), "forget": ("·", None), "keep": ("·", None),
    "conflict": ("!", "red"), "write": ("+", "green"), "merge": ("~", "yellow"),
}  # fmt: skip
#: Seconds between progress lines where there is no terminal.
PLAIN_EVERY = 5.0


def size_text(size: float) -> str:
    """A number of bytes for people, in decimal units."""
    unit = 0
    while abs(size) >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or abs(size) >= 99.95 else f"{size:.1f} {_UNITS[unit]}"


def count_text(number: int, noun: str) -> str:
    """A number with its noun: `1 file`, `2 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class Console:
    """Where one run of the command speaks."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        debug: bool = False,
        progress: bool = True,
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.debug = debug
        self.progress = progress
        self.directory = Path()
        #: The exit code of what was done, should the answer find no reader any more.
        self.verdict = 0
        self.verb: str | None = None
        self._reporter: Reporter | None = None
        self._warned: set[str] = set()

    @classmethod
    def for_arguments(cls, arguments: Sequence[str]) -> Console:
        """The console that these arguments ask for; click checks their spelling later."""
        words = list(arguments)
        given = set(words[: words.index("--")] if "--" in words else words)
        return cls(
            as_json="--json" in given,
            quiet=bool(given & {"-q", "--quiet"}),
            verbose=bool(given & {"-v", "--verbose"}),
            debug="--debug" in given,
            progress="--no-progress" not in given,
        )

    # -- the two streams ---------------------------------------------------------------------------

    def answer(self, text: str = "") -> None:
        """A line of the answer, on stdout; nothing else may be there under `--json`."""
        if not self.as_json:
            click.echo(text, color=_color(sys.stdout))

    def document(self, value: object) -> None:
        """The one JSON document of `--json`."""
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        if not text.replace("\n", "").isprintable():  # what is invisible or moves a cursor is escaped
            text = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
        click.echo(text)

    def say(self, text: str) -> None:
        """A line of talk, on stderr; silent under `--quiet`."""
        if not self.quiet:
            self._err(text)

    def warn(self, text: str) -> None:
        """A warning, on stderr, also under `--quiet`; one that was shown while it happened is not said again."""
        if text in self._warned:
            return
        self._warned.add(text)
        self._err(click.style("warning: ", fg="yellow", bold=True) + _fold(text, 9))

    def _err(self, text: str) -> None:
        if self._reporter is not None and isinstance(self._reporter, _Bars):
            self._reporter.above(text)
        else:
            click.echo(text, err=True, color=_color(sys.stderr))

    def confirm(self, question: str) -> bool:
        """Ask on a terminal; elsewhere the answer is no."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return click.confirm(question, default=False, err=True)

    # -- failures ----------------------------------------------------------------------------------

    def failure(self, error: SynapseError) -> None:
        """An error as the user sees it: what, where, what to do next."""
        self.close()
        errors = error.errors if isinstance(error, Several) else (error,)
        if self.as_json:
            self.document({"errors": [error_value(item) for item in errors], "exit_code": error.exit_code})
        self.errors(errors)

    def usage_error(self, error: click.ClickException) -> None:
        """An error of the command line itself; a command that lacks everything gets its help instead."""
        bare = isinstance(error, click.exceptions.NoArgsIsHelpError)
        message, hint = (
            ("missing command", "`synapse --help` lists them") if bare else _usage_words(error, self.verb)
        )
        if self.as_json:
            self._only_error("UsageError", message, hint, error.exit_code)
        if bare:
            error.show(file=sys.stderr)
        else:
            self._tell(message, hint)

    def interrupted(self) -> None:
        """Ctrl-C: what is on disk is fine, and the next run goes on from there."""
        self.close()
        if self.as_json:
            self._only_error("Interrupted", "interrupted", None, 130)
        self._err("interrupted; finished files are kept, and the next sync goes on from here")

    def unexpected(self, error: Exception) -> None:
        """A bug of ours. Only its type is told: its words might hold anything."""
        self.close()
        if self.debug:
            import traceback

            self._err("".join(traceback.format_exception(error)))
        if self.as_json:
            self._only_error(type(error).__name__, "unexpected error", None, 70)
        hint = None if self.debug else "run it again with --debug and report what it prints"
        self._tell(f"unexpected {type(error).__name__}; this is a bug", hint)

    def _only_error(self, kind: str, message: str, hint: str | None, code: int) -> None:
        """The document of an error that is none of ours, in the shape of the others."""
        value = {"kind": kind, "message": message, "hint": hint, "model": None, "exit_code": code}
        self.document({"errors": [value], "exit_code": code})

    # -- plans and reports -------------------------------------------------------------------------

    def plan(self, plan: Plan) -> None:
        """What is to be done, by target."""
        fetches = plan.of(*_verbs("fetch"))
        if fetches:
            total = size_text(plan.fetch_bytes)
            self.answer(click.style("to download", bold=True) + f"  {count_text(len(fetches), 'file')}, {total}")
            for action in fetches:
                name = action.artifact.filename if action.artifact is not None else action.sha256[:12]
                self.answer(_line("fetch", f"{action.model}", f"{_plain(name)}  {size_text(action.size)}"))
        for target in dict.fromkeys(action.target for action in plan.actions if action.target):
            self.answer(click.style(f"target {target}", bold=True))
            for action in plan.actions:
                if action.target == target:
                    self.answer(_line(action.verb.value, action.path, _why(action)))

    def outcomes(self, report: Report) -> None:
        """What became of each action on a path."""
        for target in dict.fromkeys(o.action.target for o in report.outcomes if o.action.target):
            self.answer(click.style(f"target {target}", bold=True))
            for outcome in report.outcomes:
                if outcome.action.target == target:
                    self.answer(_outcome_line(outcome))

    def errors(self, errors: Iterable[SynapseError]) -> None:
        """Several failures; what is the same for many models is said once."""
        alike: dict[tuple[str, str | None], list[SynapseError]] = {}
        for error in errors:
            alike.setdefault((error.message, error.hint), []).append(error)
        for (message, hint), group in alike.items():
            names = list(dict.fromkeys(error.subject for error in group if error.subject is not None))
            if len(names) < 2:
                self.failure_line(group[0])
            else:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                self._tell(f"{', '.join(f'`{name}`' for name in names[:5])}{more}: {message}", hint)

    def failure_line(self, error: SynapseError) -> None:
        """One failure with its hint, on stderr; whom it is about comes first where its words do not say it."""
        about = error.subject is not None and error.subject not in error.message
        self._tell(f"`{error.subject}`: {error.message}" if about else error.message, error.hint)

    def _tell(self, message: str, hint: str | None) -> None:
        self._err(click.style("error: ", fg="red", bold=True) + _fold(message, 7))
        if hint:
            self._err(click.style("  hint: ", fg="cyan") + _fold(hint, 8))

    def changes(self, changes: Sequence[Change]) -> None:
        """The diff of a lock."""
        if self.quiet:
            return
        signs = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
        for change in changes:
            sign, color = signs[change.kind]
            after = change.after or change.before or ""
            if change.before and change.after and change.before != change.after:
                after = f"{change.before} → {change.after}"
            self.answer(f"  {click.style(sign, fg=color)} {change.name}  {click.style(_plain(after), dim=True)}")

    def rows(self, rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
        """A table with aligned columns; the last column is as long as it is."""
        cells = [[cell_text(cell) for cell in row] for row in (header, *rows)]
        widths = [max(text_width(row[n]) for row in cells) for n in range(len(header))]
        for number, row in enumerate(cells):
            text = "  ".join(fit_text(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
            self.answer(click.style(text, bold=True) if number == 0 else text)

    def table(self, rows: Sequence[Sequence[str]], header: Sequence[str], *, shrink: int) -> None:
        """A table of words from outside that fits the terminal; the column `shrink` gives way where it must."""
        cells = [[cell_text(cell) for cell in row] for row in (header, *rows)]
        widths = [max(text_width(row[n]) for row in cells) for n in range(len(header))]
        over = sum(widths) + 2 * (len(widths) - 1) - terminal_width()
        widths[shrink] = max(text_width(header[shrink]), 8, widths[shrink] - max(0, over))
        for number, row in enumerate(cells):
            fitted = [fit_text(cell, width) for cell, width in zip(row, widths, strict=True)]
            text = "  ".join(fitted).rstrip()
            self.answer(click.style(text, bold=True) if number == 0 else text)

    # -- progress ----------------------------------------------------------------------------------

    def reporter(self) -> Reporter:
        """Who draws progress: bars on a terminal, plain lines elsewhere, nothing under `--quiet`."""
        if self._reporter is None:
            if self.quiet:
                self._reporter = Reporter()
            elif self.progress and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
                self._reporter = _Bars(self)
            else:
                self._reporter = _Lines(self)
        return self._reporter

    def close(self) -> None:
        """Take the bars off the screen."""
        if isinstance(self._reporter, _Bars):
            self._reporter.stop()
        self._reporter = None


def terminal_width() -> int:
    """How many columns there are; 80 where nobody says."""
    import shutil

    return max(40, shutil.get_terminal_size().columns)


def cell_text(text: str) -> str:
    """Words from outside on one line, without anything that moves a cursor or turns the writing round."""
    return _plain(" ".join(text.split()))


def text_width(text: str) -> int:
    """How many columns a text takes on a terminal."""
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if char.isascii():
        return 1
    import unicodedata

    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def fit_text(text: str, width: int) -> str:
    """A text cut or filled to a number of columns."""
    if (spare := width - text_width(text)) >= 0:
        return text + " " * spare
    kept, used = "", 0
    for char in text:
        used += _char_width(char)
        if used > width - 1:
            break
        kept += char
    return kept + "…" + " " * (width - 1 - text_width(kept))


def cut_text(text: str, width: int) -> str:
    """Words from outside on one line of so many columns at most."""
    text = cell_text(text)
    return text if text_width(text) <= width else fit_text(text, width).rstrip()


def error_value(error: SynapseError) -> dict[str, Any]:
    """An error for machines."""
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "model": error.subject,
        "exit_code": error.exit_code,
    }


def action_value(action: Action) -> dict[str, Any]:
    """An action for machines."""
    return {
        "verb": action.verb.value,
        "model": action.model,
        "target": action.target or None,
        "path": action.path or None,
        "sha256": action.sha256 or None,
        "size": action.size,
        "reason": action.reason,
    }


def plan_value(plan: Plan, stale: Sequence[str] = (), warnings: Sequence[str] = ()) -> dict[str, Any]:
    """A plan for machines."""
    return {
        "in_sync": plan.in_sync and not stale,
        "unchanged": plan.unchanged,
        "fetch_bytes": plan.fetch_bytes,
        "not_locked": list(stale),
        "actions": [action_value(action) for action in plan.actions],
        "warnings": list(warnings),
    }


def report_value(report: Report) -> dict[str, Any]:
    """A report for machines."""
    return {
        **plan_value(report.plan, warnings=report.warnings),
        "in_sync": not report.errors,
        "fetched_bytes": report.fetched_bytes,
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


def _verbs(*names: str) -> tuple[Any, ...]:
    from synapse_sync.core.plan import Verb

    return tuple(Verb(name) for name in names)


def _line(verb: str, text: str, remark: str) -> str:
    sign, color = _SIGNS[verb]
    tail = f"  {click.style(remark, dim=True)}" if remark else ""
    return f"  {click.style(sign, fg=color)} {_plain(text)}{tail}"


def _why(action: Action) -> str:
    return _plain(action.reason or ("" if action.verb.value != "place" else size_text(action.size)))


def _outcome_line(outcome: Outcome) -> str:
    action = outcome.action
    if outcome.error is not None:
        return _line("conflict", action.path, "not done")
    if outcome.left_out:
        return _line("keep", action.path, _plain(f"left out: {outcome.detail}"))
    remark = outcome.detail or action.reason or ""
    if action.verb.value in ("place", "replace"):
        remark = f"{size_text(action.size)}  {remark}"
    return _line(action.verb.value, action.path, _plain(remark))


def _plain(text: str) -> str:
    """Text from outside as it may reach a terminal: no control characters but line ends."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def _fold(text: str, indent: int, stream: TextIO | None = None) -> str:
    """Words for stderr, on a terminal broken between words; only the first line is, the others are to be copied."""
    first, *rest = _plain(text).split("\n")
    if (stream or sys.stderr).isatty():
        import textwrap

        width = terminal_width() - indent
        folded = textwrap.wrap(first, width, break_long_words=False, break_on_hyphens=False)
        first, rest = (folded or [""])[0], [*folded[1:], *rest]
    return ("\n" + " " * indent).join((first, *rest))


def _usage_words(error: click.ClickException, verb: str | None) -> tuple[str, str]:
    """What click says of a command line, in our tone, and a next step."""
    near = getattr(error, "possibilities", None)
    message = error.message if near else error.format_message()
    context = getattr(error, "ctx", None)
    name = context.command_path if context is not None else f"synapse {verb or ''}".rstrip()
    hint = getattr(error, "hint", None) or (f"did you mean `{_nearest(error, near)}`?" if near else None)
    return message[:1].lower() + message[1:].rstrip("."), hint or f"`{name} --help` tells how it is used"


def _nearest(error: click.ClickException, near: Sequence[str]) -> str:
    import difflib

    word = getattr(error, "option_name", None) or getattr(error, "command_name", None) or ""
    return (difflib.get_close_matches(str(word), near, n=1) or list(near))[0]


def _color(stream: Any) -> bool | None:
    """None lets click decide by the terminal; `NO_COLOR` (no-color.org) says no."""
    return False if os.environ.get("NO_COLOR") else None


class _Lines(Reporter):
    """Progress as plain lines, for logs: when a download begins and ends, and every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._names: dict[str, tuple[str, int | None]] = {}
        self._done: dict[str, int] = {}
        self._last = time.monotonic()

    def phase(self, text: str) -> None:
        if self._console.verbose:
            self._console.say(text)

    def note(self, text: str) -> None:
        self._console.say(text)

    def warn(self, text: str) -> None:
        self._console.warn(text)

    def transfer_started(self, key: str, name: str, total: int | None, done: int) -> None:
        with self._lock:
            self._names[key], self._done[key] = (name, total), done
        resumed = f", going on at {size_text(done)}" if done else ""
        self._console.say(f"downloading {name}" + (f"  {size_text(total)}" if total else "") + resumed)

    def transfer_advanced(self, key: str, count: int) -> None:
        with self._lock:
            self._done[key] = self._done.get(key, 0) + count
            if time.monotonic() - self._last < PLAIN_EVERY:
                return
            self._last = time.monotonic()
            lines = [_progress(name, self._done[k], total) for k, (name, total) in self._names.items()]
        for line in lines:
            self._console.say(line)

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        with self._lock:
            name, _ = self._names.pop(key, (key, None))
            done = self._done.pop(key, 0)
        if error is None:
            self._console.say(f"verified {name}  {size_text(done)}")


def _progress(name: str, done: int, total: int | None) -> str:
    share = f" of {size_text(total)} ({100 * done / total:.0f} %)" if total else ""
    return f"  {name}: {size_text(done)}{share}"


class _Bars(Reporter):
    """Progress bars by rich: a line a file."""

    def __init__(self, console: Console) -> None:
        from rich.console import Console as Screen
        from rich.console import RenderableType
        from rich.constrain import Constrain
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.table import Column

        screen = Screen(stderr=True)

        class Narrow(Progress):
            """Leaves room for the `^C` of the terminal, which would begin a line of its own at a full one."""

            def get_renderables(self) -> Iterator[RenderableType]:
                for renderable in super().get_renderables():
                    yield Constrain(renderable, max(20, screen.width - 4))

        self._console = console
        self._progress = Narrow(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            DownloadColumn(table_column=Column(no_wrap=True)),
            TransferSpeedColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[word]}", markup=False, table_column=Column(no_wrap=True)),
            console=screen,
            transient=True,
            expand=True,
        )
        self._tasks: dict[str, Any] = {}
        self._lock = threading.Lock()

    def phase(self, text: str) -> None:
        if self._console.verbose:
            self.above(text)

    def note(self, text: str) -> None:
        self.above(text)

    def warn(self, text: str) -> None:
        self._console.warn(text)

    def above(self, text: str) -> None:
        """A line above the bars."""
        if self._tasks:
            from rich.text import Text

            self._progress.print(Text.from_ansi(text))
        else:
            click.echo(text, err=True, color=_color(sys.stderr))

    def transfer_started(self, key: str, name: str, total: int | None, done: int) -> None:
        with self._lock:
            if not self._tasks:
                self._progress.start()
            room = max(18, self._progress.console.width - 56)
            short = cell_text(name)
            short = short if text_width(short) <= room else fit_text(short, room).rstrip()
            self._tasks[key] = self._progress.add_task(short, total=total, completed=done, word="")

    def transfer_advanced(self, key: str, count: int) -> None:
        task = self._tasks.get(key)
        if task is not None:
            self._progress.advance(task, count)

    def transfer_phase(self, key: str, word: str) -> None:
        task = self._tasks.get(key)
        if task is not None:
            self._progress.update(task, word="" if word == "downloading" else word)

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        with self._lock:
            task = self._tasks.pop(key, None)
            if task is not None:
                self._progress.remove_task(task)
            if not self._tasks:
                self._progress.stop()

    def stop(self) -> None:
        """Take everything off the screen."""
        with self._lock:
            self._tasks.clear()
            for task in self._progress.task_ids:
                self._progress.remove_task(task)
            self._progress.stop()


def card_lines(fields: Mapping[str, str]) -> list[str]:
    """Aligned `name  value` lines, on a terminal broken between words."""
    width = max((len(name) for name in fields), default=0)
    return [
        f"{click.style(name.ljust(width), dim=True)}  {_fold(value, width + 4, sys.stdout)}"
        for name, value in fields.items()
    ]

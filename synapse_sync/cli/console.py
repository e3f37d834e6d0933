"""The console prints everything: answers to stdout, talk and progress to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from synapse_sync.cli import runner
from synapse_sync.cli.progress import Bars, Lines
from synapse_sync.cli.render import usage_words
from synapse_sync.cli.streams import use_utf8
from synapse_sync.cli.texts import asked_text, color_wish, fold_text, on_terminal
from synapse_sync.core.findings import grouped, grouped_texts
from synapse_sync.core.reporter import Reporter
from synapse_sync.core.switch import read_switch
from synapse_sync.errors import Several, SynapseError

#: The commands that bring files into the store, which an interrupt keeps.
_DOWNLOADING = {"sync", "lock", "add", "verify"}
#: The values of `--color`.
COLORS = ("auto", "always", "never")


class Console:
    """The output of one run of the command."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        debug: bool = False,
        progress: bool = True,
        color: str = "auto",
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.debug = debug
        self.progress = progress
        self.color = color
        self.directory: Path = Path()
        self.verb: str | None = None
        self._reporter: Reporter | None = None
        self._warned: set[str] = set()

    @classmethod
    def for_arguments(cls, arguments: Sequence[str]) -> Console:
        """Return the console for these arguments and the environment; click checks their spelling later."""
        words = list(arguments)
        words = words[: words.index("--")] if "--" in words else words
        given = set(words)

        def switched(name: str) -> bool:
            return read_switch(os.environ.get(f"SYNAPSE_{name}", "")) or False

        return cls(
            as_json="--json" in given,
            quiet=bool(given & {"-q", "--quiet"}) or switched("QUIET"),
            verbose=bool(given & {"-v", "--verbose"}) or switched("VERBOSE"),
            debug="--debug" in given or switched("DEBUG"),
            progress="--no-progress" not in given and not switched("NO_PROGRESS"),
            color=_color_among(words),
        )

    # -- the two streams ---------------------------------------------------------------------------

    def answer(self, text: str = "") -> None:
        """Print a line of the answer on stdout; under `--json` nothing, as only the document may be there."""
        if not self.as_json:
            click.echo(text, color=color_wish(self.color))

    def answers(self, lines: Iterable[str]) -> None:
        """Print several lines of the answer; under `--json` they are not even made."""
        if not self.as_json and (text := "\n".join(lines)):
            self.answer(text)  # at once: each call flushes

    def answer_text(self, text: str) -> None:
        """Print a sentence of the answer, broken between words on a terminal."""
        self.answer(fold_text(text, 2, sys.stdout))

    def conclude(self, text: str) -> None:
        """Print the line that sums up a run: on stdout, so that a log of the answers has it; else as talk."""
        if self.as_json:
            self.say(text)
        elif not self.quiet:
            self.answer(text)

    def document(self, value: object) -> None:
        """Print the one JSON document of `--json`."""
        use_utf8(sys.stdout)
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        if not text.replace("\n", "").isprintable():  # escape characters that are invisible or move the cursor
            text = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
        click.echo(text)

    def say(self, text: str) -> None:
        """Print a line of talk on stderr, unless `--quiet` was given."""
        if not self.quiet:
            self._err(fold_text(text, 2))

    def warn(self, text: str) -> None:
        """Print a warning on stderr, also under `--quiet`; each text is printed once."""
        if text in self._warned:
            return
        self._warned.add(text)
        # Not bold: some terminals print bold yellow as bright yellow, which vanishes on a light background.
        self._err(click.style("warning: ", fg="yellow") + fold_text(text, 9))
        self.annotate("warning", text)

    def warnings(self, texts: Iterable[str]) -> None:
        """Print several warnings, those of one kind as one."""
        for text in grouped_texts(texts):
            self.warn(text)

    def _err(self, text: str) -> None:
        if isinstance(self._reporter, Bars) and self._reporter.above(text):
            return
        if "\x1b" in text or os.name == "nt" or sys.stderr is None:
            click.echo(text, err=True, color=color_wish(self.color))
        else:  # what click would do with such a text, in a third of the time: there is a line for each file
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def confirm(self, question: str) -> bool:
        """Ask a question on a terminal; without a terminal the answer is no."""
        if not (on_terminal(sys.stdin) and on_terminal(sys.stderr)):
            return False
        return click.confirm(asked_text(question), default=False, show_default=False, prompt_suffix=" ", err=True)

    # -- failures ----------------------------------------------------------------------------------

    def failure(self, error: SynapseError) -> int:
        """Print an error: what happened, where, and what to do next; returns the number of findings in it."""
        self.close()
        errors = error.errors if isinstance(error, Several) else (error,)
        if self.as_json:
            self.document({"errors": [item.to_dict() for item in errors], "exit_code": error.exit_code})
        return self.errors(errors)

    def usage_error(self, error: click.ClickException) -> None:
        """Print an error of the command line itself; without any command, the help is printed instead."""
        bare = isinstance(error, click.exceptions.NoArgsIsHelpError)
        message, hint = (
            ("missing command", "`synapse --help` lists them") if bare else usage_words(error, self.verb)
        )
        if self.as_json:
            self._only_error("UsageError", message, hint, error.exit_code)
        if bare:
            error.show(file=sys.stderr)
        else:
            self._tell(message, hint)

    def interrupted(self) -> None:
        """Report Ctrl-C."""
        self.close()
        if self.as_json:
            self._only_error("Interrupted", "interrupted", None, 130)
        kept = "; finished files are kept, and the next sync continues from here"
        if self.verb == "import":
            kept = "; the same import goes on where it stopped, and places what is missing"
        self._err("interrupted" + (kept if self.verb in {*_DOWNLOADING, "import"} else ""))

    def unexpected(self, error: Exception) -> None:
        """Report a bug of synapse by its type alone: its message might hold anything, a token too."""
        self.close()
        if self.debug:
            import traceback

            self._err("".join(traceback.format_exception(error)))
        if self.as_json:
            self._only_error(type(error).__name__, "unexpected error", None, 70)
        hint = None if self.debug else "run it again with --debug and report what it prints"
        self._tell(f"unexpected {type(error).__name__}; this is a bug", hint)

    def _only_error(self, kind: str, message: str, hint: str | None, code: int) -> None:
        """Print the JSON document of an error that is no `SynapseError`, in the same shape."""
        value = {"kind": kind, "message": message, "hint": hint, "model": None, "exit_code": code}
        self.document({"errors": [value], "exit_code": code})

    def errors(self, errors: Iterable[SynapseError]) -> int:
        """Print several failures, those of one kind with one mend as one; returns the number of these findings."""
        findings = grouped(errors)
        for finding in findings:
            self._tell(finding.message, finding.hint)
        return len(findings)

    def _tell(self, message: str, hint: str | None) -> None:
        self._err(click.style("error: ", fg="red", bold=True) + fold_text(message, 7))
        if hint:
            self._err(click.style("  hint: ", fg="cyan") + fold_text(hint, 8))
        self.annotate("error", message, hint)

    def annotate(self, level: str, message: str, hint: str | None = None) -> None:
        """Print a message once more for the runner of a workflow, which shows it beside the code."""
        if runner.wanted(os.environ):
            self._err(runner.annotation(level, message, hint, self.directory, os.environ))

    # -- progress ----------------------------------------------------------------------------------

    def reporter(self) -> Reporter:
        """Return the reporter: bars on a terminal, plain lines elsewhere, nothing under `--quiet`."""
        if self._reporter is None:
            if self.quiet:
                self._reporter = Reporter()
            elif self.progress and on_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
                self._reporter = Bars(self.say, self.warn, verbose=self.verbose, color=color_wish(self.color))
            else:
                self._reporter = Lines(self.say, self.warn, verbose=self.verbose)
        return self._reporter

    def close(self) -> None:
        """Remove the bars from the screen."""
        if isinstance(self._reporter, Bars):
            self._reporter.stop()
        self._reporter = None


def _color_among(words: Sequence[str]) -> str:
    """Return the value of the last `--color`, else of its variable; one that click will refuse counts as `auto`."""
    found = os.environ.get("SYNAPSE_COLOR", "")
    for number, word in enumerate(words, start=1):
        if word == "--color":
            found = next(iter(words[number:]), "")
        elif word.startswith("--color="):
            found = word.partition("=")[2]
    return found if found in COLORS else "auto"

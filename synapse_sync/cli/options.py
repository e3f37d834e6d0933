"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from synapse_sync.cli.complete import group_names, model_names, target_names
from synapse_sync.cli.console import Console

if TYPE_CHECKING:
    from datetime import datetime

F = TypeVar("F", bound=Callable[..., Any])


def _directory(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.find_root().ensure_object(Console).directory = value


def _switch(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Set a flag of the console, which has not seen flags that were written together, as in `-qy`."""
    if value:
        console = ctx.find_root().ensure_object(Console)
        negative = param.name == "no_progress"
        setattr(console, "progress" if negative else str(param.name), not negative)


def common(command: F) -> F:
    """Add the options that every verb accepts, before or after its name.

    They are -C, -q, -v, --debug, --no-progress and --json. `Console.for_arguments` has read them before click does,
    so that errors of click itself are printed in the right form. They are declared here for the help, and for the
    check of spelling.
    """
    for option in reversed(
        (
            click.option(
                "-C",
                "--directory",
                "directory",
                metavar="DIR",
                type=click.Path(path_type=Path, exists=True, file_okay=False),
                expose_value=False,
                callback=_directory,
                help="Work in DIR instead of the current directory.",
            ),
            _flag("--json", "as_json", help="One JSON document on stdout."),
            _flag("-q", "--quiet", help="Print warnings and errors only."),
            _flag("-v", "--verbose", help="Print more."),
            _flag("--no-progress", help="No progress bars."),
            _flag("--debug", help="Print the traceback of an unexpected error."),
        )
    ):
        command = option(command)
    return command


def _flag(*names: str, help: str) -> Callable[[F], F]:
    return click.option(*names, is_flag=True, expose_value=False, callback=_switch, help=help)


def scope(command: F) -> F:
    """Add the options that choose a part of the project."""
    for option in reversed(
        (
            click.option(
                "--only",
                multiple=True,
                metavar="NAME",
                shell_complete=model_names,
                help="Only this model (repeatable).",
            ),
            click.option(
                "--group",
                "groups",
                multiple=True,
                metavar="G",
                shell_complete=group_names,
                help="Only this group (repeatable).",
            ),
            click.option(
                "--target",
                "targets",
                multiple=True,
                metavar="T",
                shell_complete=target_names,
                help="Only this target (repeatable).",
            ),
        )
    ):
        command = option(command)
    return command


def trusting(command: F) -> F:
    """Add `--trust`: consent to what the manifest wants outside its project."""
    text = "Agree to what synapse.toml wants outside its project."
    return click.option("--trust", is_flag=True, help=text)(command)


def instant(text: str | None) -> datetime | None:
    """Parse the value of `--exclude-newer`: a day (with all its hours) or a time, in UTC."""
    from synapse_sync.core.instant import parse_cutoff

    if text is None:
        return None
    try:
        return parse_cutoff(text)
    except ValueError:
        raise click.BadParameter(f"`{text}` is not a date like 2026-01-31", param_hint="--exclude-newer") from None

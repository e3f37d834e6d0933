"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from synapse_sync.cli.console import Console

F = TypeVar("F", bound=Callable[..., Any])


def _directory(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.find_root().ensure_object(Console).directory = value


def common(command: F) -> F:
    """The options that every verb takes: -C, -q, -v, --debug, --no-progress, --json.

    `Console.for_arguments` has read them before click did, so that errors of click itself are shown in the right
    way; here they are declared for the help and for the check of spelling.
    """
    for option in reversed(
        (
            click.option(
                "-C",
                "directory",
                metavar="DIR",
                type=click.Path(path_type=Path, exists=True, file_okay=False),
                expose_value=False,
                callback=_directory,
                help="Work in DIR instead of the current directory.",
            ),
            click.option(
                "--json", "as_json", is_flag=True, expose_value=False, help="One JSON document on stdout."
            ),
            click.option("-q", "--quiet", is_flag=True, expose_value=False, help="Say only what went wrong."),
            click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Say more."),
            click.option("--no-progress", is_flag=True, expose_value=False, help="No progress bars."),
            click.option(
                "--debug", is_flag=True, expose_value=False, help="Show the trace of an unexpected error."
            ),
        )
    ):
        command = option(command)
    return command


def scope(command: F) -> F:
    """The options that choose a part of the project."""
    for option in reversed(
        (
            click.option("--only", multiple=True, metavar="NAME", help="Only these models (repeatable)."),
            click.option("--group", "groups", multiple=True, metavar="G", help="Only models of these groups."),
            click.option("--target", "targets", multiple=True, metavar="T", help="Only these targets."),
        )
    ):
        command = option(command)
    return command

"""Options that several verbs share, and the environment variables that can set an option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from synapse_sync.cli.complete import group_names, model_names, target_names
from synapse_sync.cli.console import COLORS, Console
from synapse_sync.core.switch import read_switch

if TYPE_CHECKING:
    from datetime import datetime

    from synapse_sync.core.shard import Shard

F = TypeVar("F", bound=Callable[..., Any])


class BadVariable(click.UsageError):
    """An environment variable with a value that it cannot have, with a next step."""

    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class EnvironmentOption(click.Option):
    """An option that an environment variable can set: the help names it, and so does an error about its value."""

    _is_from_variable = False

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names and the help, with the variable in brackets: as one word, which is never broken."""
        record = super().get_help_record(ctx)
        return record if record is None else (record[0], f"{record[1]}  [{self.envvar}]")

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the text of the variable, or None. A group leaves it to its command, which has the option as well:
        else a wrong value would also keep the command's help from the user."""
        return None if isinstance(ctx.command, click.Group) else super().resolve_envvar_value(ctx)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Return the value and its source; raises `BadVariable` for a switch that says neither yes nor no."""
        value, source = super().consume_value(ctx, opts)
        self._is_from_variable = source is ParameterSource.ENVIRONMENT
        if self._is_from_variable and self.is_flag:
            switched = read_switch(str(value))
            if switched is None and not ctx.resilient_parsing:
                name = str(self.envvar)
                what = f"invalid value for {name}: `{value}` is neither 1 nor 0"
                raise BadVariable(what, f"unset {name}, or set it to 1", ctx)
            value = bool(switched)
        return value, source

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return the name that an error about the value begins with: that of the variable if it is the source."""
        return str(self.envvar) if self._is_from_variable else click.Parameter.get_error_hint(self, ctx)


def _directory(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.find_root().ensure_object(Console).directory = value


def _switch(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Set a flag of the console, which has not seen flags that were written together, as in `-qy`."""
    if value:
        console = ctx.find_root().ensure_object(Console)
        negative = param.name == "no_progress"
        setattr(console, "progress" if negative else str(param.name), not negative)


def _color(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.find_root().ensure_object(Console).color = value


def common(command: F) -> F:
    """Add the options that every verb accepts, before or after its name.

    They are -C, -q, -v, --debug, --no-progress, --color and --json. `Console.for_arguments` has read them before
    click does, so that errors of click itself are printed in the right form. They are declared here for the help,
    and for the check of spelling.
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
            click.option(
                "--json",
                "as_json",
                is_flag=True,
                expose_value=False,
                callback=_switch,
                help="One JSON document on stdout.",
            ),
            _flag("-q", "--quiet", help="Print warnings and errors only.", envvar="SYNAPSE_QUIET"),
            _flag("-v", "--verbose", help="Print more.", envvar="SYNAPSE_VERBOSE"),
            _flag("--no-progress", help="No progress bars.", envvar="SYNAPSE_NO_PROGRESS"),
            click.option(
                "--color",
                cls=EnvironmentOption,
                metavar="WHEN",
                type=click.Choice(COLORS),
                expose_value=False,
                callback=_color,
                envvar="SYNAPSE_COLOR",
                help="auto, always or never.",
            ),
            _flag("--debug", help="Print the traceback of an unexpected error.", envvar="SYNAPSE_DEBUG"),
        )
    ):
        command = option(command)
    return command


def _flag(*names: str, help: str, envvar: str) -> Callable[[F], F]:
    return click.option(
        *names,
        cls=EnvironmentOption,
        is_flag=True,
        expose_value=False,
        callback=_switch,
        envvar=envvar,
        help=help,
    )


def switch(*names: str, envvar: str, help: str) -> Callable[[F], F]:
    """Add a flag that an environment variable can switch on, too."""
    return click.option(*names, cls=EnvironmentOption, is_flag=True, envvar=envvar, help=help)


def offline(command: F) -> F:
    """Add `--offline`. Its variable also counts, as a setting, for the verbs that lack the option."""
    return switch("--offline", envvar="SYNAPSE_OFFLINE", help="Never open a connection.")(command)


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
                cls=EnvironmentOption,
                envvar="SYNAPSE_GROUP",
                multiple=True,
                metavar="G",
                shell_complete=group_names,
                help="Only this group (repeatable).",
            ),
            click.option(
                "--target",
                "targets",
                cls=EnvironmentOption,
                envvar="SYNAPSE_TARGET",
                multiple=True,
                metavar="T",
                shell_complete=target_names,
                help="Only this target (repeatable).",
            ),
        )
    ):
        command = option(command)
    return command


def limit_rate(text: str) -> Callable[[F], F]:
    """Add `--limit-rate`, in bytes a second; `text` is its help."""
    return click.option(
        "--limit-rate",
        cls=EnvironmentOption,
        metavar="RATE",
        callback=_rate,
        envvar="SYNAPSE_LIMIT_RATE",
        help=text,
    )


def _rate(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    from synapse_sync.user.settings import parse_rate

    return parse_rate(value, param.get_error_hint(ctx).strip("'"))


def trusting(command: F) -> F:
    """Add `--trust`: consent to what the manifest wants outside its project."""
    text = "Agree to what synapse.toml wants outside its project.  [SYNAPSE_TRUST]"
    return click.option("--trust", is_flag=True, help=text)(command)


def one_part(command: F) -> F:
    """Add `--shard`: one part of the work, for the jobs of an array."""
    return click.option(
        "--shard", metavar="I/N", callback=_shard,
        help="Only part I of N equal ones, as a job of an array: 1/8 to 8/8 are everything.",
    )(command)  # fmt: skip


def spread(verb: str) -> Callable[[F], F]:
    """Add the options that spread the work over many machines; `verb` is the work."""
    dask = click.option(
        "--dask", metavar="ADDRESS",
        help=f"{verb} on the workers of this Dask scheduler, such as tcp://host:8786, which see the same paths.",
    )  # fmt: skip

    def add(command: F) -> F:
        return one_part(dask(command))

    return add


def _shard(ctx: click.Context, param: click.Parameter, value: str | None) -> Shard:
    from synapse_sync.core.shard import WHOLE, parse_shard

    try:
        return WHOLE if value is None else parse_shard(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def exclude_newer(text: str) -> Callable[[F], F]:
    """Add `--exclude-newer`: a day (with all its hours) or a time, in UTC. `text` is its help."""
    return click.option(
        "--exclude-newer",
        cls=EnvironmentOption,
        metavar="DATE",
        envvar="SYNAPSE_EXCLUDE_NEWER",
        callback=_instant,
        help=text,
    )


def _instant(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    from synapse_sync.core.instant import parse_cutoff

    if value is None:
        return None
    try:
        return parse_cutoff(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None

"""`synapse export`: write the locked files for another program."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from synapse_sync.cli.complete import format_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, scope
from synapse_sync.cli.streams import use_utf8
from synapse_sync.cli.texts import count_text
from synapse_sync.core.nearest import suggestion


class Formats(click.Command):
    """The command, whose help lists the formats of the table."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line for each format."""
        from synapse_sync.interop.writers import WRITERS

        names = {name: f"{name} FILE" if writer.completes else name for name, writer in WRITERS.items()}
        with formatter.section("Formats"):
            formatter.write_dl([(shown, WRITERS[name].about) for name, shown in sorted(names.items())])


@click.command("export", cls=Formats)
@click.argument("name", metavar="FORMAT", shell_complete=format_names)
@click.argument("given", required=False, metavar="[FILE]", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write FILE instead of stdout."
)
@click.option(
    "--endpoints",
    "own_endpoints",
    is_flag=True,
    help="Name the endpoints and mirrors of this machine's settings, not the public addresses.",
)
@scope
@common
@click.pass_obj
def command(
    console: Console,
    name: str,
    given: Path | None,
    output: Path | None,
    own_endpoints: bool,
    only: tuple[str, ...],
    groups: tuple[str, ...],
    targets: tuple[str, ...],
) -> int:
    """Write what synapse.lock pins, and where it belongs, as a file of another program.

    One lockfile has one text, the same each time. It names the sites' public addresses, and contains neither
    a token nor a signed URL. Previews and sidecars are left out.
    """
    from synapse_sync.engine.scope import Scope
    from synapse_sync.errors import InputError
    from synapse_sync.interop.writers import WRITERS
    from synapse_sync.workspace import Workspace

    if name not in WRITERS:
        raise InputError(f"no format `{name}`", hint=suggestion(name, WRITERS, what="formats"))
    if WRITERS[name].completes and given is None:
        raise click.UsageError(f"`{name}` completes a file: name it after the format")
    if given is not None and not WRITERS[name].completes:
        raise click.UsageError(f"`{name}` completes no file; `-o FILE` names the file to write")
    if str(output) == "-":
        output = None  # as other programs mean it
    part = Scope(only=only, groups=groups, targets=targets)
    with Workspace.find(console.directory, offline=True) as workspace:
        found = workspace.export(
            name,
            part,
            given=None if given is None else console.directory / given,
            output=None if output is None else console.directory / output,
            own_endpoints=own_endpoints,
        )
    console.warnings(found.notes)
    if console.as_json:
        console.document(
            {
                "format": name,
                "output": None if found.output is None else str(found.output),
                "files": found.files,
                "left_out": found.left_out,
                "text": found.text if found.output is None else None,
                "warnings": list(found.notes),
            }
        )
    elif found.output is None:
        use_utf8(sys.stdout)
        click.echo(found.text, nl=False)
    if found.output is not None:
        left = f"; {count_text(found.left_out, 'file')} left out, as warned" if found.left_out else ""
        console.say(f"wrote {found.output}: {count_text(found.files, 'file')}{left}")
    return 0

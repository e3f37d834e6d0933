"""`synapse unbundle`: bring a bundle into the store, and write its project."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import BinaryIO

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import cell_text, on_terminal
from synapse_sync.core.size_text import count_text, size_text


@click.command("unbundle")
@click.argument("file", metavar="FILE")
@click.argument("into", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@common
@click.pass_obj
def command(console: Console, file: str, into: Path | None) -> int:
    """Verify the bundle FILE, bring its files into the store, and write its project into DIR; `-` is stdin.

    DIR is the current directory unless you name another one. Files there are never replaced: another synapse.toml
    or synapse.lock ends the command. A damaged bundle ends it, too; the files before the damage are right, and stay
    in the store. No connection is opened, and nothing is placed: `synapse sync --frozen --offline` does that, and
    asks for your consent as for every manifest of somebody else.
    """
    from synapse_sync.workspace import Workspace

    place = console.directory if into is None else console.directory / into
    with (
        Workspace.anywhere(console.directory, offline=True) as workspace,
        _stdin() if file == "-" else workspace.opened_bundle(console.directory / file) as source,
    ):
        workspace.reporter = console.reporter()
        found = workspace.unbundle(source, place)
    console.close()
    if console.as_json:
        console.document(
            {
                "directory": str(found.directory),
                "written": list(found.written),
                "added": found.added,
                "present": found.present,
                "bytes": found.size,
                "contents": f"sha256:{found.sha256}",
            }
        )
    had = f", {found.present:,} of them here before" if found.present else ""
    console.say(f"contents sha256:{found.sha256}")
    console.say(
        f"{count_text(found.added + found.present, 'file')} verified, {size_text(found.size)}{had}; the project is "
        f"in {cell_text(str(found.directory))}"
    )
    console.say("`synapse sync --frozen --offline` there places the files")
    return 0


def _stdin() -> contextlib.AbstractContextManager[BinaryIO]:
    """Stdin as bytes; raises `click.UsageError` for a terminal."""
    if sys.stdin is None or on_terminal(sys.stdin):
        raise click.UsageError("`-` reads the archive from stdin: send a pipe or a file to it")
    return contextlib.nullcontext(sys.stdin.buffer)

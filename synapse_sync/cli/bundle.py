"""`synapse bundle`: one archive with all that a project needs on a machine without a network."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO

import click

from synapse_sync.cli.complete import model_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, offline
from synapse_sync.cli.texts import on_terminal
from synapse_sync.core.size_text import count_text, size_text

if TYPE_CHECKING:
    from synapse_sync.engine.bundle import Bundled


@click.command("bundle")
@click.argument("output", metavar="OUT")
@click.option(
    "--since", metavar="LOCK", help="Leave out the files that this lockfile has: a path, or a commit like HEAD~1."
)
@click.option(
    "--include", "named", multiple=True, metavar="NAME", shell_complete=model_names,
    help="Hand on this model, whatever it is (repeatable).",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Hand on all models, whatever they are.")
@offline
@common
@click.pass_obj
def command(
    console: Console, output: str, since: str | None, named: tuple[str, ...], everything: bool, offline: bool
) -> int:
    """Write OUT, a tar archive with synapse.toml, synapse.lock and the files of all models; `-` is stdout.

    `synapse unbundle OUT` brings it into the store of a machine without a network, and `synapse sync --frozen
    --offline` places it there. Equal content has equal bytes. No second copy is made on disk: the files are read in
    the store and hashed while they are written.

    A bundle hands files on to others. Files of this machine, of gated or private repositories, and those that need
    your token are left out, unless you name their model. One request without a token asks each repository;
    --offline asks none, and goes by synapse.lock alone.
    """
    from synapse_sync.engine.bundle import BundleWish
    from synapse_sync.workspace import Workspace

    place = _stdout() if output == "-" else console.directory / output
    if output == "-" and console.as_json:
        raise click.UsageError("--json cannot be combined with `-`: both are for stdout")
    if since is not None and (console.directory / since).is_file():
        since = str((console.directory / since).absolute())
    wish = BundleWish(since=since, named=named, everything=everything)
    with Workspace.find(console.directory, reporter=console.reporter(), offline=offline) as workspace:
        found = workspace.bundle(place, wish)
    console.close()
    _report(console, found, None if output == "-" else output)
    return 0


def _stdout() -> BinaryIO:
    """Stdout as bytes; raises `click.UsageError` for a terminal."""
    if sys.stdout is None or on_terminal(sys.stdout):
        raise click.UsageError("`-` writes the archive to stdout: send it to a pipe or a file")
    stream: BinaryIO = sys.stdout.buffer
    return stream


def _report(console: Console, found: Bundled, output: str | None) -> None:
    """Print what is in the bundle, and what is not."""
    blobs = found.contents.of("blobs")
    console.warnings(
        f"`{name}` is {reason}, so it is not in the bundle: `--include {name}` hands it on"
        for name, reason in found.withheld.items()
    )
    console.warnings(found.warnings)
    if console.as_json:
        console.document(
            {
                "output": output,
                "files": len(blobs),
                "bytes": found.size,
                "contents": f"sha256:{found.sha256}",
                "left_out": list(found.contents.without),
                "withheld": dict(found.withheld),
                "warnings": list(found.warnings),
            }
        )
    without = f", {count_text(len(found.contents.without), 'file')} left out" if found.contents.without else ""
    console.say(f"contents sha256:{found.sha256}")
    text = f"{count_text(len(blobs), 'file')}{without}, {size_text(found.size)}"
    console.say(f"wrote {output or 'a bundle to stdout'}: {text}")

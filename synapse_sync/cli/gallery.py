"""`synapse gallery`: write one static page of the models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, scope
from synapse_sync.cli.texts import count_text
from synapse_sync.cli.web import open_file
from synapse_sync.core.artifact import DEFAULT_RATING, RATINGS
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.engine.gallery import Made


@click.command("gallery")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path),
    help="Write FILE instead of gallery.html beside synapse.toml.",
)  # fmt: skip
@click.option(
    "--portable", metavar="DIR", type=click.Path(path_type=Path),
    help="Write index.html into DIR, and copy the previews beside it.",
)  # fmt: skip
@click.option(
    "--outdated", is_flag=True, help="Ask the sites for newer versions, and mark the models that have one."
)
@click.option(
    "--rating", type=click.Choice(tuple(RATINGS)), default=DEFAULT_RATING, show_default=True,
    help="Blur previews that are more explicit; the page can change it.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace files that synapse did not write.")
@scope
@common
@click.pass_obj
def command(
    console: Console,
    opens: bool,
    output: Path | None,
    portable: Path | None,
    outdated: bool,
    rating: str,
    force: bool,
    only: tuple[str, ...],
    groups: tuple[str, ...],
    targets: tuple[str, ...],
) -> int:
    """Write a page with a card for each model: preview, version, base, precision, trigger words, size, licence.

    The page needs no server and no internet. It shows the previews beside the models, which `previews = true` in
    synapse.toml brings, and files that synapse does not manage. With the extra `synapse-sync[gallery]` it contains
    thumbnails. Without --outdated, no request is sent.
    """
    from synapse_sync.engine.gallery import Wanted
    from synapse_sync.engine.scope import Scope
    from synapse_sync.errors import Several
    from synapse_sync.workspace import Workspace

    if output is not None and portable is not None:
        raise click.UsageError("`--portable DIR` names its own page: leave out `-o`")
    if "-" in (str(output), str(portable)):
        raise click.UsageError("a gallery is a file: `-` is not stdout here; name a file, or `./-`")
    given = portable or output
    wanted = Wanted(
        output=None if given is None else console.directory / given,
        portable=portable is not None,
        most=rating,
        force=force,
    )
    part = Scope(only=only, groups=groups, targets=targets)
    with Workspace.find(console.directory, reporter=console.reporter(), offline=not outdated) as workspace:
        standings = workspace.outdated() if outdated else None
        made = workspace.gallery(part, standings, wanted)
    failed = [standing.error for standing in standings or () if standing.error is not None]
    console.close()
    if console.as_json:
        console.document(made.to_dict())
    else:
        _tell(console, made)
    console.errors(failed)
    if opens:
        open_file(console, made.output)
    return Several(failed).exit_code if failed else 0


def _tell(console: Console, made: Made) -> None:
    counts = [count_text(made.models, "model")]
    counts += [count_text(made.unmanaged, "unmanaged file")] if made.unmanaged else []
    counts += [f"{made.previewed:,} with a preview"]
    console.answer(str(made.output))
    console.say(f"{', '.join(counts)}: {size_text(made.size)}")
    if made.previewed and not made.thumbnails:
        console.say("no thumbnails are embedded: `pip install 'synapse-sync[gallery]'` brings Pillow for them")
    if made.models and not made.previewed:
        console.say("no model has a preview: `previews = true` in [workspace] of synapse.toml brings them")

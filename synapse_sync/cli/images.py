"""`synapse images`: list images on Civitai with their addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.civitai_options import limit, word
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import cell_text, fit_text, terminal_width
from synapse_sync.sources.civitai.filters import IMAGE_SORTS, LEVELS, PERIODS

if TYPE_CHECKING:
    from synapse_sync.sources.civitai.schema_lists import Image


@click.command("images", short_help="List Civitai's images of a model, a version or a creator")
@click.option("--model", metavar="REF", help="Of this model: a number, `civitai:4384`, or the address of its page.")
@click.option("--version", "version_id", type=click.IntRange(1), metavar="N", help="Of this version.")
@click.option("--post", type=click.IntRange(1), metavar="N", help="Of this post.")
@click.option("--username", metavar="NAME", help="By this user.")
@click.option("--nsfw", type=word(LEVELS), metavar="LEVEL", help="Up to this level: " + ", ".join(LEVELS) + ".")
@click.option("--sort", type=word(IMAGE_SORTS), metavar="ORDER", help=", ".join(IMAGE_SORTS) + ".")
@click.option("--period", type=word(PERIODS), metavar="TIME", help=", ".join(PERIODS) + ".")
@limit
@common
@click.pass_obj
def command(
    console: Console,
    model: str | None,
    version_id: int | None,
    post: int | None,
    username: str | None,
    nsfw: str | None,
    sort: str | None,
    period: str | None,
    limit: int,
) -> int:
    """List images that people made with a model, and their addresses."""
    from synapse_sync.workspace import Workspace

    model_id, version = _ids(model)
    if version is not None and version_id is not None and version != version_id:
        raise click.UsageError(f"--model names version {version}, --version {version_id}")
    with Workspace.anywhere(console.directory) as workspace:
        images = workspace.discover(
            "images",
            lambda civitai: civitai.images(
                model_id=model_id, version_id=version_id or version, post_id=post, username=username, nsfw=nsfw,
                sort=sort, period=period, limit=limit,
            ),
        )  # fmt: skip
    if console.as_json:
        console.document({"images": [_value(image) for image in images]})
    for image in images:
        size = f"{image.width}×{image.height}" if image.width and image.height else "?"
        words = (str(image.id), image.type, size, image.nsfw_level, (image.created_at or "")[:10], image.username)
        line = "  ".join(cell_text(text) for text in words if text)
        console.answer(fit_text(line, terminal_width()).rstrip())
        console.answer(f"  {cell_text(image.url)}")
    if not images:
        console.say("nothing found")
    return 0


def _ids(text: str | None) -> tuple[int | None, int | None]:
    """Return the number of the model and of the version that `--model` names; None for what it does not name."""
    from synapse_sync.core.reference import Reference

    if text is None:
        return None, None
    reference = Reference.parse(f"civitai:{text}" if text.isascii() and text.isdigit() else text)
    if reference.source != "civitai":
        raise click.BadParameter(f"`{text}` is not a model of Civitai", param_hint="--model")
    return int(reference.id) if reference.id else None, int(reference.revision) if reference.revision else None


def _value(image: Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "url": image.url,
        "type": image.type,
        "nsfw_level": image.nsfw_level,
        "width": image.width,
        "height": image.height,
        "created": image.created_at,
        "post": image.post_id,
        "username": image.username,
        "base_model": image.base_model,
        "versions": list(image.version_ids),
        "stats": dict(image.stats),
        "meta": None if image.meta is None else dict(image.meta),
    }

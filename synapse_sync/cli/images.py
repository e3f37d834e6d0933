"""`synapse images`: list images on Civitai with their addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.civitai_options import Found, all_of, cursor, limit, one_page, page, word
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import cell_text, fit_text, terminal_width
from synapse_sync.sources.civitai.filters import IMAGE_SORTS, LEVELS, PERIODS

if TYPE_CHECKING:
    from synapse_sync.core.image_meta import Resource
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.sources.civitai.questions import ImageFilters
    from synapse_sync.sources.civitai.schema_lists import Image

_NSFW = word((*LEVELS, "true", "false"))


@click.command("images")
@click.option("--model", metavar="REF", help="Of this model: a number, `civitai:4384`, or the address of its page.")
@click.option("--version", "version_id", type=click.IntRange(1), metavar="N", help="Of this version.")
@click.option("--post", type=click.IntRange(1), metavar="N", help="Of this post.")
@click.option("--image", "named", multiple=True, metavar="ID|URL", help="This image alone (repeatable).")
@click.option("--username", metavar="NAME", help="By this user.")
@click.option(
    "--nsfw",
    type=_NSFW,
    metavar="LEVEL",
    is_flag=False,
    flag_value="true",
    help="Up to this level: " + ", ".join(LEVELS) + "; without one, all images.",
)
@click.option("--no-nsfw", is_flag=True, help="Only images for all ages.")
@click.option("--sort", type=word(IMAGE_SORTS), metavar="ORDER", help=", ".join(IMAGE_SORTS) + ".")
@click.option("--period", type=word(PERIODS), metavar="TIME", help=", ".join(PERIODS) + ".")
@click.option("--resources", is_flag=True, help="Which models made each image, as far as it says.")
@limit
@page
@cursor
@common
@click.pass_obj
def command(
    console: Console,
    model: str | None,
    version_id: int | None,
    post: int | None,
    named: tuple[str, ...],
    username: str | None,
    nsfw: str | None,
    no_nsfw: bool,
    sort: str | None,
    period: str | None,
    resources: bool,
    limit: int,
    page: int | None,
    cursor: str | None,
) -> int:
    """List images that people made with a model, and their addresses.

    --resources adds the models that made each image, with references for `synapse add`.
    """
    from synapse_sync.workspace import Workspace

    model_id, version = _ids(model)
    if version is not None and version_id is not None and version != version_id:
        raise click.UsageError(f"--model names version {version}, --version {version_id}")
    if no_nsfw and nsfw is not None:
        raise click.UsageError("--nsfw and --no-nsfw exclude each other")
    numbers = [image_number(text, "--image") for text in dict.fromkeys(named)]
    filters: ImageFilters = {
        "model_id": model_id, "version_id": version_id or version, "post_id": post, "username": username,
        "nsfw": False if no_nsfw else nsfw, "sort": sort, "period": period,
        "with_meta": True if resources or console.as_json else None,
    }  # fmt: skip
    with Workspace.anywhere(console.directory) as workspace:
        found = workspace.ask("images", lambda civitai: _found(civitai, numbers, filters, limit, page, cursor))
    if console.as_json:
        console.document({"images": [_value(image) for image in found.items], "metadata": found.metadata})
    for image in found.items:
        _tell(console, image, resources=resources)
    if not found.items:
        console.say("nothing found")
    return 0


def _found(
    civitai: Client, numbers: list[int], filters: ImageFilters, limit: int, page: int | None, cursor: str | None
) -> Found[Image]:
    """Ask for single images, for one page, or for as many pages as `limit` needs."""
    if numbers:
        return Found([civitai.image(number) for number in numbers], {})
    if page is not None or cursor is not None or limit == 0:
        return one_page(civitai.images_page(page=page, cursor=cursor, limit=limit, **filters))
    return all_of(civitai.images(limit=limit, **filters))


def image_number(text: str, option: str) -> int:
    """Return the number of an image: `text` is that number or the address of its page; raises `BadParameter`."""
    from synapse_sync.core.civitai_forms import image_id
    from synapse_sync.sites import named

    number = image_id(text)
    if number is None:
        raise click.BadParameter(
            f"`{text}` is neither the number of an image nor `{named('civitai').home}/images/NUMBER`",
            param_hint=option,
        )
    return number


def _tell(console: Console, image: Image, *, resources: bool) -> None:
    size = f"{image.width}×{image.height}" if image.width and image.height else "?"
    words = (str(image.id), image.type, size, image.nsfw_level, (image.created_at or "")[:10], image.username)
    line = "  ".join(cell_text(text) for text in words if text)
    console.answer(fit_text(line, terminal_width()).rstrip())
    console.answer(f"  {cell_text(image.url)}")
    if resources:
        for line in resource_lines(_resources(image)):
            console.answer(f"    {line}")


def resource_lines(resources: Iterable[Resource]) -> Iterator[str]:
    """Yield a line for each model that made an image: its kind, name and weight, and how to add it."""
    empty = True
    for resource in resources:
        empty = False
        name = " ".join(word for word in (resource.name, resource.version_name) if word)
        reference = resource.reference
        words = (
            resource.kind or "model",
            name,
            None if resource.weight is None else f"{resource.weight:g}",
            "only its name is known" if reference is None else str(reference),
        )
        yield "  ".join(cell_text(text) for text in words if text)
    if empty:
        yield "it does not say which models made it"


def _resources(image: Image) -> tuple[Resource, ...]:
    from synapse_sync.sources.civitai.details import made_with

    return made_with(image.meta, image.version_ids)


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
    from synapse_sync.sources.civitai.details import resource_value

    return {
        "id": image.id,
        "url": image.url,
        "type": image.type,
        "hash": image.hash,
        "nsfw": image.nsfw,
        "nsfw_level": image.nsfw_level,
        "browsing_level": image.browsing_level,
        "width": image.width,
        "height": image.height,
        "created": image.created_at,
        "post": image.post_id,
        "username": image.username,
        "base_model": image.base_model,
        "versions": list(image.version_ids),
        "stats": dict(image.stats),
        "meta": None if image.meta is None else dict(image.meta),
        "resources": [resource_value(each) for each in _resources(image)],
    }

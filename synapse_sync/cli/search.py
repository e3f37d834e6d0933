"""`synapse search`: search the models of Civitai."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.civitai_options import all_of, cursor, limit, model_filters, one_page, page, short_count, word
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.render import table_lines, trigger_line
from synapse_sync.cli.texts import cut_text
from synapse_sync.core.nearest import suggestion
from synapse_sync.sites import named
from synapse_sync.sources.civitai.filters import BASE_MODELS, OUR_TYPES, PERIODS, SORTS, TYPES, spelled

if TYPE_CHECKING:
    from synapse_sync.cli.civitai_options import Found
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.sources.civitai.questions import ModelFilters
    from synapse_sync.sources.civitai.schema import Model

_COLUMNS = 16
_TYPE = word(TYPES, also=OUR_TYPES, open=True)


@click.command("search", short_help="Search Civitai; --add puts a result into synapse.toml")
@click.argument("query", nargs=-1, metavar="[QUERY]...")
@click.option("--type", "types", multiple=True, type=_TYPE, metavar="TYPE", help="checkpoint, lora … (repeatable)")
@click.option("--base-model", "bases", multiple=True, metavar="NAME", help="For example `SDXL 1.0` (repeatable).")
@click.option("--sort", type=word(SORTS), metavar="ORDER", help=", ".join(SORTS) + ".")
@click.option("--period", type=word(PERIODS), metavar="TIME", help=", ".join(PERIODS) + ".")
@click.option("--creator", metavar="NAME", help="Only models of this creator.")
@click.option("--tag", metavar="TAG", help="Only models with this tag.")
@click.option("--nsfw/--no-nsfw", default=None, help="Also models without an image for all ages, or not.")
@model_filters
@limit
@page
@cursor
@click.option(
    "--add", "add", multiple=True, type=click.IntRange(1), metavar="N", help="Add the Nth result (repeatable)."
)
@common
@click.pass_obj
def command(
    console: Console,
    /,
    query: tuple[str, ...],
    types: tuple[str, ...],
    bases: tuple[str, ...],
    sort: str | None,
    period: str | None,
    creator: str | None,
    tag: str | None,
    nsfw: bool | None,
    limit: int,
    page: int | None,
    cursor: str | None,
    add: tuple[int, ...],
    **more: Any,
) -> int:
    """Search Civitai's models; without QUERY, list them by the filters alone.

    --add writes results of this search into synapse.toml and locks them, as `synapse add` does. A list without
    QUERY has numbered pages (--page); a search continues by --cursor.
    """
    from synapse_sync.cli.add import added_value, next_step, tell_added
    from synapse_sync.core.reference import Reference
    from synapse_sync.engine.declare import Wishes
    from synapse_sync.errors import AmbiguousFile, InputError, RefusedFormat
    from synapse_sync.workspace import Workspace

    text = " ".join(query).strip() or None
    words = [spelled(base, BASE_MODELS) or base for base in bases]
    filters: ModelFilters = {
        "query": text, "types": types, "sort": sort, "period": period, "base_models": words, "username": creator,
        "tag": tag, "nsfw": nsfw, **more,  # type: ignore[typeddict-item]
    }  # fmt: skip
    if add:
        workspace = Workspace.find(console.directory, reporter=console.reporter())
    else:
        workspace = Workspace.anywhere(console.directory)
    with workspace:
        found = workspace.ask("search", lambda civitai: _found(civitai, filters, limit, page, cursor))
        models = found.items
        if add and max(add) > len(models):
            raise InputError(
                f"--add {max(add)}: the search has {len(models)} results",
                hint="search without --add to see them",
            )
        _tell(console, models)
        if not models:
            _tell_nothing(console, words, nsfw=bool(nsfw))
        results = [_value(number, model) for number, model in enumerate(models, start=1)]
        value: dict[str, Any] = {"query": text, "results": results, "metadata": found.metadata}
        if add:
            chosen = [Reference("civitai", str(models[number - 1].id)) for number in dict.fromkeys(add)]
            try:
                names, locked = workspace.add(chosen, Wishes())
            except (AmbiguousFile, RefusedFormat) as error:
                what = " ".join(map(str, chosen))
                error.hint = f"`synapse add {what}` accepts `--file`, `--allow-pickle`"
                raise
            value |= {"added": added_value(names, locked), "warnings": list(locked.warnings)}
    if console.as_json:
        console.document(value)
    if add:
        tell_added(console, names, locked, next_step(workspace, names))
    return 0


def _found(
    civitai: Client, filters: ModelFilters, limit: int, page: int | None, cursor: str | None
) -> Found[Model]:
    """Ask for one page, or for as many as `limit` needs."""
    if page is not None or cursor is not None or limit == 0:
        return one_page(civitai.models_page(page=page, cursor=cursor, limit=limit, **filters))
    return all_of(civitai.models(limit=limit, **filters))


def _tell(console: Console, models: list[Model]) -> None:
    from synapse_sync.sources.civitai.vocabulary import model_type

    rows = [
        (
            str(number),
            model.name or "",
            cut_text(model_type(model.type) or "", _COLUMNS),
            cut_text(_base(model) or "", _COLUMNS),
            short_count(model.stats.download_count),
            f"civitai:{model.id}",
        )
        for number, model in enumerate(models, start=1)
    ]
    if rows:
        header = ("#", "name", "type", "base model", "downloads", "reference")
        below = [trigger_line(model.versions[0].trained_words if model.versions else ()) for model in models]
        console.answers(table_lines(rows, header, shrink=1, below=below))


def _tell_nothing(console: Console, bases: list[str], *, nsfw: bool) -> None:
    """Print possible reasons for no results."""
    console.say("nothing found")
    for base in bases:
        if spelled(base, BASE_MODELS) is None:
            near = suggestion(base, BASE_MODELS, "", most=3)
            console.say(f"`{base}` is not a known base model" + (f"; {near}" if near else ""))
    if not nsfw:
        console.say("Civitai omits models without an image for all ages, unless you add --nsfw")


def _base(model: Model) -> str | None:
    return model.versions[0].base_model if model.versions else None


def _value(number: int, model: Model) -> dict[str, Any]:
    """Return a result for `--json`, in the site's words."""
    from synapse_sync.sources.civitai.details import model_details, version_details

    return model_details(model) | {
        "number": number,
        "reference": f"civitai:{model.id}",
        "id": model.id,
        "name": model.name,
        "type": model.type,
        "base_model": _base(model),
        "creator": model.creator.username if model.creator is not None else None,
        "tags": list(model.tags),
        "nsfw": model.nsfw,
        "mode": model.mode,
        "downloads": model.stats.download_count,
        "page": f"{named('civitai').home}/models/{model.id}",
        "versions": [
            version_details(v)
            | {
                "name": v.name,
                "base_model": v.base_model,
                "published": v.published_at,
                "trained_words": list(v.trained_words),
            }
            for v in model.versions
        ],
    }

"""`synapse search`: search the models of Civitai and Hugging Face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.civitai_options import all_of, cursor, limit, model_filters, one_page, page, word
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.search_results import Results, tell, what_is_here
from synapse_sync.core.nearest import suggestion
from synapse_sync.errors import Several, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sources.civitai.filters import BASE_MODELS, OUR_TYPES, PERIODS, SORTS, TYPES, spelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse_sync.cli.civitai_options import Found
    from synapse_sync.core.reference import Reference
    from synapse_sync.engine.lock import Locked
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.sources.civitai.questions import ModelFilters
    from synapse_sync.sources.civitai.schema import Model
    from synapse_sync.workspace import Workspace

_TYPE = word(TYPES, also=OUR_TYPES, open=True)
_SITES = ("civitai", "huggingface")
#: The filters and the orders that both sites have.
_BOTH = {"query", "username", "tag", "nsfw", "sort"}
_BOTH_SORT = ("Most Downloaded", "Most Liked", "Highest Rated", "Newest")


@click.command("search")
@click.argument("query", nargs=-1, metavar="[QUERY]...")
@click.option("--site", type=click.Choice(_SITES), metavar="SITE", help="civitai or huggingface; without it, both.")
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
    site: str | None,
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
    """Search the models of Civitai and Hugging Face; without QUERY, list them by the filters alone.

    Both sites are asked, unless a filter is one of Civitai's alone (--type, --base-model, --period, …). --add
    writes results of this search into synapse.toml and locks them, as `synapse add` does. A list of Civitai without
    QUERY has numbered pages (--page); a search continues by --cursor.
    """
    from synapse_sync.cli.add import added_value, next_step, tell_added
    from synapse_sync.errors import raise_all
    from synapse_sync.workspace import Workspace

    text = " ".join(query).strip() or None
    words = [spelled(base, BASE_MODELS) or base for base in bases]
    filters: ModelFilters = {
        "query": text, "types": types, "sort": sort, "period": period, "base_models": words, "username": creator,
        "tag": tag, "nsfw": nsfw, **more,  # type: ignore[typeddict-item]
    }  # fmt: skip
    of_civitai = limit == 0 or page is not None or cursor is not None or _only_civitai(filters)
    sites = _sites(site, only_civitai=of_civitai)
    if add:
        workspace = Workspace.find(console.directory, reporter=console.reporter())
    else:
        workspace = Workspace.anywhere(console.directory)
    with workspace:
        found = _asked(workspace, sites, filters, limit, page, cursor)
        chosen = _chosen(found, add)
        tell(console, found, headings=len(sites) > 1)
        if not found.count and not found.errors:
            _tell_nothing(console, words, nsfw=nsfw is not None or "civitai" not in sites)
        value: dict[str, Any] = {"query": text, "results": found.values(), "metadata": found.metadata}
        if add:
            names, locked = _added(workspace, chosen)
            value |= {"added": added_value(names, locked), "warnings": list(locked.warnings)}
    if found.errors and not found.count:
        raise_all(found.errors)
    if found.errors:
        value |= {"errors": [error.to_dict() for error in found.errors]}
    if console.as_json:
        console.document(value)
    if add:
        tell_added(console, names, locked, next_step(workspace, names))
    console.errors(found.errors)
    return Several(found.errors).exit_code if found.errors else 0


def _only_civitai(filters: ModelFilters) -> bool:
    """Whether one of these filters, or the order, exists at Civitai alone."""
    own = [value for name, value in filters.items() if name not in _BOTH]
    return filters["sort"] not in (None, *_BOTH_SORT) or any(value not in (None, (), []) for value in own)


def _chosen(found: Results, numbers: Sequence[int]) -> list[Reference]:
    """The results with these numbers, each once; raises `InputError` for a number beyond the last one."""
    from synapse_sync.errors import InputError, raise_all

    if numbers and max(numbers) > found.count:
        raise_all(found.errors)
        raise InputError(
            f"--add {max(numbers)}: the search has {found.count} results",
            hint="search without --add to see them",
        )
    return [found.reference(number) for number in dict.fromkeys(numbers)]


def _added(workspace: Workspace, chosen: Sequence[Reference]) -> tuple[list[str], Locked]:
    """Declare and lock results, as `synapse add` does; the hint of a refusal names that command."""
    from synapse_sync.engine.declare import Wishes
    from synapse_sync.errors import AmbiguousFile, RefusedFormat

    try:
        return workspace.add(chosen, Wishes())
    except (AmbiguousFile, RefusedFormat) as error:
        what = " ".join(map(str, chosen))
        error.hint = f"`synapse add {what}` accepts `--file`, `--allow-pickle`"
        raise


def _sites(site: str | None, *, only_civitai: bool) -> tuple[str, ...]:
    """Return the sites to ask; raises a usage error if the one that was named lacks a filter that was given."""
    if site == "huggingface" and only_civitai:
        raise click.UsageError("only Civitai has these filters; Hugging Face knows --creator, --tag and --sort")
    return (site,) if site is not None else _SITES[:1] if only_civitai else _SITES


def _asked(
    workspace: Workspace,
    sites: tuple[str, ...],
    filters: ModelFilters,
    limit: int,
    page: int | None,
    cursor: str | None,
) -> Results:
    """Ask the sites at the same time; the failure of one leaves the results of the other."""
    results = Results()

    def ask(site: str) -> SynapseError | None:
        try:
            if site == "civitai":
                found = workspace.ask("search", lambda civitai: _found(civitai, filters, limit, page, cursor))
                results.models, results.metadata = found.items, found.metadata
            else:
                results.repositories = workspace.repositories(
                    query=filters["query"], author=filters["username"], tag=filters["tag"], sort=filters["sort"],
                    limit=limit,
                )  # fmt: skip
        except SynapseError as error:
            return error
        return None

    results.errors = [error for error in at_once(ask, sites, len(sites)) if error is not None]
    if len(sites) > 1:
        results.limited(limit)
    results.here = what_is_here(workspace)
    return results


def _found(
    civitai: Client, filters: ModelFilters, limit: int, page: int | None, cursor: str | None
) -> Found[Model]:
    """Ask for one page, or for as many as `limit` needs."""
    if page is not None or cursor is not None or limit == 0:
        return one_page(civitai.models_page(page=page, cursor=cursor, limit=limit, **filters))
    return all_of(civitai.models(limit=limit, **filters))


def _tell_nothing(console: Console, bases: list[str], *, nsfw: bool) -> None:
    """Print possible reasons for no results."""
    console.say("nothing found")
    for base in bases:
        if spelled(base, BASE_MODELS) is None:
            near = suggestion(base, BASE_MODELS, "", most=3)
            console.say(f"`{base}` is not a known base model" + (f"; {near}" if near else ""))
    if not nsfw:
        console.say("Civitai omits models without an image for all ages, unless you add --nsfw")

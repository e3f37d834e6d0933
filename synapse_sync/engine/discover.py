"""Discover: questions about models, images, creators and tags on Civitai, and repositories on Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, StatusError
from synapse_sync.sources.base import Source

if TYPE_CHECKING:
    from synapse_sync.net.api import Api
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.sources.huggingface.search import FoundRepository

T = TypeVar("T")


def discover(
    question: Callable[[Client], Iterable[T]], client: Client, sources: Mapping[str, Source], *, what: str
) -> list[T]:
    """All items that a question to Civitai finds; `what` names the list in errors. Raises as `ask` does."""
    return ask(lambda civitai: list(question(civitai)), client, sources, what=what)


def ask(question: Callable[[Client], T], client: Client, sources: Mapping[str, Source], *, what: str) -> T:
    """The answer to a question to Civitai, in which all its requests are made; `what` names it in errors.

    Raises `InputError` if the site refuses the filters, and whatever its source says of other failures.
    """
    try:
        return question(client)
    except StatusError as error:
        if error.status in (400, 404, 422):
            raise InputError(
                f"Civitai does not accept this question ({error.status}): {error.body or error.message}",
                hint="check the words of the filters, or use fewer of them",
            ) from error
        raise sources["civitai"].explain(Reference("url", what), error) from error


def repositories(
    api: Api,
    endpoint: str,
    sources: Mapping[str, Source],
    *,
    query: str | None,
    author: str | None,
    tag: str | None,
    sort: str | None,
    limit: int,
) -> list[FoundRepository]:
    """The repositories of models that Hugging Face finds at `endpoint`; raises as its source says."""
    from synapse_sync.sources.huggingface.search import search

    try:
        return search(api, endpoint, query=query, author=author, tag=tag, sort=sort, limit=limit)
    except StatusError as error:
        raise sources["huggingface"].explain(Reference("url", "search"), error) from error

"""Discover: questions about models, images, creators and tags, for which Civitai has lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, StatusError
from synapse_sync.sources.base import Source

if TYPE_CHECKING:
    from synapse_sync.sources.civitai.client import Client

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

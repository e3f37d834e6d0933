"""Whoami: whose tokens we have, where they come from, and whether their sites still take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from synapse_sync.errors import AccessDenied, NetworkError, SynapseError
from synapse_sync.sites import Site
from synapse_sync.user.tokens import Token

State = Literal["valid", "refused", "unknown", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are at one host: `account` where the site said so, `note` why it could not be asked."""

    host: str
    state: State
    account: str | None = None
    origin: str | None = None
    note: str | None = None
    error: SynapseError | None = None


def identities(
    asked: Sequence[tuple[str, Site | None, Token | None]], account: Callable[[Site, Token], str | None]
) -> tuple[Identity, ...]:
    """Who we are at each of these hosts. `account` asks the site; None says that it must not see the token."""
    return tuple(_identity(host, site, token, account) for host, site, token in asked)


def _identity(
    host: str, site: Site | None, token: Token | None, account: Callable[[Site, Token], str | None]
) -> Identity:
    if token is None:
        return Identity(host=host, state="none")
    if site is None:
        note = "only a download tells whether it is right"
        return Identity(host=host, state="unknown", origin=token.origin, note=note)
    try:
        name = account(site, token)
    except AccessDenied as error:
        return Identity(host=host, state="refused", origin=token.origin, error=error)
    except NetworkError as error:
        return Identity(host=host, state="unknown", origin=token.origin, error=error)
    if name is None:
        note = "your rewrites lead its requests to another host, which does not get this token"
        return Identity(host=host, state="unknown", origin=token.origin, note=note)
    return Identity(host=host, state="valid", account=name, origin=token.origin)

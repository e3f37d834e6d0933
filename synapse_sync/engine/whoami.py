"""Whoami: the accounts of the tokens, their origins, and whether their sites still accept them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import AccessDenied, NetworkError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sites import Site
from synapse_sync.user.tokens import Token

_SITES_AT_ONCE = 8
State = Literal["valid", "refused", "unknown", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The token for one host: its `account` if the site named it, or in `note` why the site was not asked."""

    host: str
    state: State
    account: str | None = None
    origin: str | None = None
    note: str | None = None
    error: SynapseError | None = None


def identities(
    asked: Sequence[tuple[str, Site | None, Token | None]], account: Callable[[Site, Token], str | None]
) -> tuple[Identity, ...]:
    """Return the identity at each host of `asked`, in that order; all sites are asked at the same time.

    `account` asks a site for the account of a token; it returns None if the site must not see the token.
    """
    return tuple(at_once(lambda each: _identity(*each, account), asked, _SITES_AT_ONCE))


def _identity(
    host: str, site: Site | None, token: Token | None, account: Callable[[Site, Token], str | None]
) -> Identity:
    if token is None:
        return Identity(host=host, state="none")
    if site is None:
        note = "only a download shows whether it is right"
        return Identity(host=host, state="unknown", origin=token.origin, note=note)
    try:
        name = account(site, token)
    except AccessDenied as error:
        return Identity(host=host, state="refused", origin=token.origin, error=error)
    except NetworkError as error:
        return Identity(host=host, state="unknown", origin=token.origin, error=error)
    if name is None:
        note = "`[rewrites]` sends its requests to another host, so this token is not used"
        return Identity(host=host, state="unknown", origin=token.origin, note=note)
    return Identity(host=host, state="valid", account=name, origin=token.origin)

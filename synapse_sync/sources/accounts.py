"""Accounts: whose token it is, as its site says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sync.errors import AccessDenied, NetworkError, StatusError
from synapse_sync.sources.register import site_module

if TYPE_CHECKING:
    from synapse_sync.net.api import Api
    from synapse_sync.sites import Site


def account_of(site: Site, api: Api, endpoint: str) -> str:
    """Return the name of the account that the token of `api` belongs to, asked at `endpoint`.

    Raises `AccessDenied` if the site refuses the token, and `NetworkError` if it does not answer the question.
    """
    try:
        name = site_module(site.name).account(api, endpoint)
    except StatusError as error:
        if error.status in site.token_refused:
            raise AccessDenied(
                f"{site.title} refuses this token",
                hint=f"it is wrong or expired; make a new one at {site.token_page}",
            ) from error
        raise
    if not isinstance(name, str) or not name:
        raise NetworkError(f"{endpoint} does not say whose token this is", hint="try again later")
    return "".join(char for char in name if char.isprintable())[:100]

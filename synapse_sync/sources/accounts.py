"""The sites with accounts: what each is called, where its tokens are made, and whom it takes a token for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synapse_sync.errors import AccessDenied, NetworkError, StatusError

if TYPE_CHECKING:
    from synapse_sync.net.api import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A site that tells whose token it was sent. `host` is what the token is kept under.

    `refuses` are the statuses that mean that the token itself is not taken.
    """

    name: str
    title: str
    host: str
    page: str
    ask: Callable[[Api, str], object]
    refuses: frozenset[int] = frozenset({401, 403})

    def account(self, api: Api, endpoint: str) -> str:
        """The account that the token of `api` belongs to; raises `AccessDenied` if the site refuses the token."""
        try:
            name = self.ask(api, endpoint)
        except StatusError as error:
            if error.status in self.refuses:
                raise AccessDenied(
                    f"{self.title} refuses this token",
                    hint=f"it is wrong or expired; make a new one at {self.page}",
                ) from error
            raise
        if not isinstance(name, str) or not name:
            raise NetworkError(f"{endpoint} does not say whose token this is", hint="try again later")
        return "".join(char for char in name if char.isprintable())[:100]


def _civitai(api: Api, endpoint: str) -> object:
    from synapse_sync.sources.civitai.client import Client

    return Client(api, endpoint).me().username


def _huggingface(api: Api, endpoint: str) -> object:
    answer = api.get_json(f"{endpoint}/api/whoami-v2")
    return answer.get("name") if isinstance(answer, dict) else None


def _github(api: Api, endpoint: str) -> object:
    try:
        answer = api.get_json(f"{endpoint}/user")
    except StatusError as error:
        if error.status == 403 and "by integration" in error.body.casefold():
            return "an app, such as GitHub Actions"  # its tokens are good for releases, and belong to nobody
        raise
    return answer.get("login") if isinstance(answer, dict) else None


SITES = {
    "civitai": Site(
        name="civitai",
        title="Civitai",
        host="civitai.com",
        page="https://civitai.com/user/account",
        ask=_civitai,
    ),
    "huggingface": Site(
        name="huggingface",
        title="Hugging Face",
        host="huggingface.co",
        page="https://huggingface.co/settings/tokens",
        ask=_huggingface,
    ),
    "github": Site(
        name="github",
        title="GitHub",
        host="github.com",
        page="https://github.com/settings/tokens",
        ask=_github,
        refuses=frozenset({401}),  # with 403 it limits requests, of good tokens too
    ),
}
_ALIASES = {
    "hf": "huggingface",
    "hf.co": "huggingface",
    "www.civitai.com": "civitai",
    "civitai.red": "civitai",
    "gh": "github",
    "api.github.com": "github",
}


def site_of(word: str) -> Site | None:
    """The site of a name or host; None for a host of which we know nothing."""
    word = _ALIASES.get(word, word)
    return SITES.get(word) or next((site for site in SITES.values() if site.host == word), None)

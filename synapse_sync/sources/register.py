"""The register of sources: one line a site; a module is loaded when its site is first asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from synapse_sync.net.api import Api
    from synapse_sync.net.credentials import Credentials, Secret
    from synapse_sync.sources.base import Source


def picture(url: str, *, film: bool = False) -> str:
    """The address of a small still, or film, of a preview, where its host is known to make such; no request."""
    from synapse_sync.sources.civitai.image_urls import address

    return address(url, film=film)


class Register(Mapping[str, "Source"]):
    """Sources by the name that a `Reference` carries. `api` and `credentials` are called when one is needed."""

    def __init__(
        self,
        *,
        project: Path,
        api: Callable[[], Api],
        credentials: Callable[[], Credentials],
        civitai_endpoint: str,
        huggingface_endpoint: str,
        huggingface_token: Secret | None,
        offline: bool,
        github_api: str,
        github_server: str,
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        self._project = project
        self._api = api
        self._credentials = credentials
        self._civitai_endpoint = civitai_endpoint
        self._huggingface_endpoint = huggingface_endpoint
        self._huggingface_token = huggingface_token
        self._offline = offline
        self._github_api = github_api
        self._github_server = github_server
        self._tls = tls
        self._made: dict[str, Source] = {}
        self._makers: dict[str, Callable[[], Source]] = {
            "civitai": self._civitai,
            "hash": lambda: self["civitai"],
            "huggingface": self._huggingface,
            "github": self._github,
            "url": self._url,
            "path": self._path,
        }

    def __getitem__(self, name: str) -> Source:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def _civitai(self) -> Source:
        from synapse_sync.sources.civitai.source import CivitaiSource

        return CivitaiSource(self._api(), self._civitai_endpoint)

    def _huggingface(self) -> Source:
        from synapse_sync.sources.huggingface.source import HuggingFaceSource

        return HuggingFaceSource(
            self._huggingface_endpoint,
            self._huggingface_token,
            self._offline,
            credentials=self._credentials(),
            tls=self._tls,
        )

    def _github(self) -> Source:
        from synapse_sync.sources.github import GitHubSource

        return GitHubSource(self._api(), self._github_api, self._github_server)

    def _url(self) -> Source:
        from synapse_sync.sources.url import UrlSource

        return UrlSource()

    def _path(self) -> Source:
        from synapse_sync.sources.path import PathSource

        return PathSource(self._project)

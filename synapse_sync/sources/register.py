"""The register of sources, by the rows of `sites.py`; a module is loaded when its site is first asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from synapse_sync.sites import SITES

if TYPE_CHECKING:
    from synapse_sync.sources.base import Means, Source


def site_module(name: str) -> Any:
    """Return the module of the site `name`, which has `make(means)` and `account(api, endpoint)`."""
    return import_module(f"synapse_sync.sources.{name}")


def preview_url(url: str, *, film: bool = False, width: int | None = None, quality: int | None = None) -> str:
    """The address of a small still, or film, of a preview, where its host is known to make such; no request.

    `width` is in pixels and `quality` in percent; None leaves them to the host.
    """
    from synapse_sync.sources.civitai.image_urls import WIDTH, address

    return address(url, film=film, width=width or WIDTH, quality=quality)


class Register(Mapping[str, "Source"]):
    """Sources by the name that a `Reference` carries; each is made from `means` when it is first asked for."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._made: dict[str, Source] = {}
        self._makers: dict[str, Callable[[], Source]] = {
            **{site.name: _maker(site.name, means) for site in SITES},
            "hash": lambda: self["civitai"],
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

    def _url(self) -> Source:
        from synapse_sync.sources.url import UrlSource

        return UrlSource(self._means.wire)

    def _path(self) -> Source:
        from synapse_sync.sources.path import PathSource

        return PathSource(self._means.project)


def _maker(name: str, means: Means) -> Callable[[], Source]:
    def make() -> Source:
        source: Source = site_module(name).make(means)
        return source

    return make

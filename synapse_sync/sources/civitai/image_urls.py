"""The addresses of Civitai's images: their sizes and forms, and which addresses are of the same image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from synapse_sync.sources.civitai.schema import ModelImage
    from synapse_sync.sources.civitai.schema_lists import Image

#: `/<key>/<uuid>/<name=value,…>/<file name>`, or without the third part, as addresses were until 2023.
_PATH = re.compile(
    r"(?P<head>.*/(?P<uuid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}))"
    r"(?:/[a-zA-Z]+=[^/,]*(?:,[a-zA-Z]+=[^/,]*)*)?/(?P<name>[^/]+)"
)
#: The parameters with which the site shows an image on a card (`edge-url.ts` in its source).
_STILL = "anim=false,transcode=true,width=450"
_FILM = "transcode=true,width=450"


def address(url: str, *, film: bool = False) -> str:
    """Return the address of a small still of an image or film or, with `film`, of a small film.

    An address of another form is returned unchanged.
    """
    parts = urlsplit(url)
    match = _PATH.fullmatch(parts.path)
    if match is None:
        return url
    stem = match["name"].rpartition(".")[0] or match["name"]
    form, ending = (_FILM, "mp4") if film else (_STILL, "jpeg")
    return urlunsplit(parts._replace(path=f"{match['head']}/{form}/{stem}.{ending}", query="", fragment=""))


def identity(url: str) -> str:
    """Return the part that all addresses of one image share: its name in the storage of the site."""
    match = _PATH.fullmatch(urlsplit(url).path)
    return match["uuid"].lower() if match is not None else url


def numbered(previews: Iterable[ModelImage], images: Iterable[Image]) -> tuple[ModelImage, ...]:
    """Return a version's previews with their ids, found by address among the full images; each image once.

    Only lists have the ids of previews; the answer about a version does not.
    """
    ids = {identity(image.url): image.id for image in images}
    seen: dict[str, ModelImage] = {}
    for preview in previews:
        key = identity(preview.url)
        seen.setdefault(key, preview if preview.id is not None else replace(preview, id=ids.get(key)))
    return tuple(seen.values())

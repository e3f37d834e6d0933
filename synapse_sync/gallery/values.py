"""The values of a gallery page: models, their previews and files. Texts may come from anybody."""

from __future__ import annotations

from synapse_sync.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One preview: a still, a film, or both.

    `still` and `film` are relative URLs, see `page.relative_url`; None where the page cannot reach the file.
    `width` and `height` are in pixels, 0 if unknown. `rating` is a word of `RATINGS`; unless `rated`, it is only
    assumed. `thumbnail` is a small WebP image, empty for none.
    """

    rating: str
    rated: bool = False
    still: str | None = None
    film: str | None = None
    width: int = 0
    height: int = 0
    thumbnail: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One locked file of a model: its name, its size in bytes, its SHA-256 and its precision."""

    name: str
    size: int
    sha256: str
    precision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One wanted path in a target, and whether the right file is there."""

    target: str
    path: str
    placed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card of the page: a locked model, one that is only declared, or a file that synapse does not manage.

    `state` is "placed", "partly", "missing", "unlocked" or "unmanaged". `size` is in bytes, `published` an instant
    as in the lockfile. `commercial` says whether the licence permits commercial use, None if that is unknown.
    `newer` is the newer version and `held` the reason why an upgrade does not lock it, where the sites were asked.
    """

    name: str
    state: str
    title: str | None = None
    version: str | None = None
    kind: str | None = None
    base: str | None = None
    precision: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    size: int = 0
    published: str | None = None
    licence: str | None = None
    commercial: bool | None = None
    creator: str | None = None
    page: str | None = None
    reference: str | None = None
    rating: str | None = None
    groups: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    places: tuple[Place, ...] = ()
    media: tuple[Media, ...] = ()
    newer: str | None = None
    held: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """The content of a page.

    `most` is the most explicit rating that it shows without a veil. `asked` says whether the sites were asked for
    newer versions. `version` is that of synapse.
    """

    title: str
    cards: tuple[Card, ...]
    most: str
    asked: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """The pieces of the template: `html` with its slots, `css` and `js`."""

    html: str
    css: str
    js: str

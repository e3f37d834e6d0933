"""The addresses of Civitai's images: the transforms in them, and which addresses are of the same image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack
from urllib.parse import urlsplit, urlunsplit

from synapse_sync.core.frozen import dataclass

if TYPE_CHECKING:
    from synapse_sync.sources.civitai.schema import ModelImage
    from synapse_sync.sources.civitai.schema_lists import Image

#: The transforms in the order in which the site writes them (`edge-url.ts` in its source).
TRANSFORMS = (
    "anim", "transcode", "width", "height", "original", "fit", "blur", "quality", "gravity", "metadata",
    "background", "gamma", "optimized", "skip",
)  # fmt: skip
#: The width in pixels of a preview on a card of the site.
WIDTH = 450
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_TRANSFORMS = re.compile(r"[a-zA-Z]+=[^/,]*(?:,[a-zA-Z]+=[^/,]*)*")


class Transforms(TypedDict, total=False):
    """The transforms that `ImageUrl.change` sets; None removes one.

    `width` and `height` are in pixels, and `quality` is in percent. `anim` keeps a film moving, and `transcode`
    converts it. `original` is the uploaded image, `optimized` a smaller form, `fit` the site's word for how an
    image fills its box.
    """

    anim: bool | None
    transcode: bool | None
    width: int | None
    height: int | None
    original: bool | None
    fit: str | None
    blur: int | None
    quality: int | None
    gravity: str | None
    metadata: str | None
    background: str | None
    gamma: float | None
    optimized: bool | None
    skip: int | None


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """An address on Civitai's image host: `BASE/UUID/NAME=VALUE,NAME=VALUE/FILE`.

    `base` is the host with the key of the site, `uuid` the image, `transforms` are in the order of the address.
    `name` is the file name; addresses before 2024 may have none, or no transforms. `str()` prints the address.
    """

    base: str
    uuid: str
    transforms: tuple[tuple[str, str], ...] = ()
    name: str | None = None

    @classmethod
    def parse(cls, url: str) -> ImageUrl | None:
        """Read an address; None if it has another form. Query and fragment are dropped: the host ignores them."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        if (split := _at_uuid(parts.path.rstrip("/"))) is None:
            return None
        before, rest = split
        uuid, *segments = rest.split("/")
        base = urlunsplit(parts._replace(path=before, query="", fragment=""))
        if len(segments) == 2 and segments[1] and _TRANSFORMS.fullmatch(segments[0]):
            return cls(base, uuid, _pairs(segments[0]), segments[1])
        if len(segments) == 1 and segments[0]:
            pairs = _pairs(segments[0]) if _TRANSFORMS.fullmatch(segments[0]) else ()
            # `a=b.png` may be a file name: transforms without a file have known names only.
            if pairs and all(name in TRANSFORMS for name, _ in pairs):
                return cls(base, uuid, pairs)
            return cls(base, uuid, (), segments[0])
        return cls(base, uuid) if not segments and before.strip("/") else None

    def __str__(self) -> str:
        forms = ",".join(f"{name}={value}" for name, value in self.transforms)
        return "/".join(part for part in (self.base, self.uuid, forms, self.name) if part)

    def get(self, name: str) -> str | None:
        """Return the value of a transform as it is written; None if the address does not have it."""
        return dict(self.transforms).get(name)

    @property
    def width(self) -> int | None:
        """The width in pixels that is asked for."""
        return _pixels(self.get("width"))

    @property
    def height(self) -> int | None:
        """The height in pixels that is asked for."""
        return _pixels(self.get("height"))

    @property
    def quality(self) -> int | None:
        """The quality in percent that is asked for."""
        return _pixels(self.get("quality"))

    @property
    def anim(self) -> bool | None:
        """Whether a film keeps moving."""
        return _flag(self.get("anim"))

    @property
    def transcode(self) -> bool | None:
        """Whether a film is converted."""
        return _flag(self.get("transcode"))

    @property
    def original(self) -> bool | None:
        """Whether the uploaded image is asked for."""
        return _flag(self.get("original"))

    @property
    def optimized(self) -> bool | None:
        """Whether a smaller form is asked for."""
        return _flag(self.get("optimized"))

    @property
    def fit(self) -> str | None:
        """How the image fills its box, in the site's word."""
        return self.get("fit")

    def change(self, **transforms: Unpack[Transforms]) -> ImageUrl:
        """Return the address with these transforms; None removes one, and the others stay.

        A new one is put where the site would write it. Raises `TypeError` for an unknown name.
        """
        changed = dict(self.transforms)
        for name, value in transforms.items():
            if name not in TRANSFORMS:
                raise TypeError(f"`{name}` is no transform of Civitai's images")
            if value is None:
                changed.pop(name, None)
            else:
                changed[name] = str(value).lower() if isinstance(value, bool) else str(value)
        if changed.keys() - dict(self.transforms).keys():
            ranks = {name: rank for rank, name in enumerate(TRANSFORMS)}
            changed = dict(sorted(changed.items(), key=lambda pair: ranks.get(pair[0], len(ranks))))
        return replace(self, transforms=tuple(changed.items()))

    @property
    def stem(self) -> str:
        """The file name without its ending; the UUID where the address has none."""
        return self.uuid if self.name is None else self.name.rpartition(".")[0] or self.name

    def still(self, *, width: int = WIDTH, quality: int | None = None) -> ImageUrl:
        """Return the address of a small still of an image or film, as on a card of the site."""
        bare = replace(self, transforms=(), name=f"{self.stem}.jpeg")
        return bare.change(anim=False, transcode=True, width=width, quality=quality)

    def film(self, *, width: int = WIDTH, quality: int | None = None) -> ImageUrl:
        """Return the address of a small film; the image itself must be one."""
        bare = replace(self, transforms=(), name=f"{self.stem}.mp4")
        return bare.change(anim=True, transcode=True, width=width, quality=quality)


def _at_uuid(path: str) -> tuple[str, str] | None:
    """Split a path before the segment that is the UUID of an image; None if it has none."""
    parts = path.split("/")
    # Two segments at most follow it: the transforms and the file, which may be called like the image.
    for place in range(max(1, len(parts) - 3), len(parts)):
        if _UUID.fullmatch(parts[place]):
            return "/".join(parts[:place]), "/".join(parts[place:])
    return None


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, _, value in (pair.partition("=") for pair in text.split(",")))


def _pixels(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else None


def _flag(text: str | None) -> bool | None:
    return {"true": True, "false": False}.get((text or "").lower())


def address(url: str, *, film: bool = False, width: int = WIDTH, quality: int | None = None) -> str:
    """Return the address of a small still of an image or film or, with `film`, of a small film.

    `width` is in pixels, `quality` in percent. An address of another form is returned unchanged.
    """
    parsed = ImageUrl.parse(url)
    if parsed is None:
        return url
    return str((parsed.film if film else parsed.still)(width=width, quality=quality))


def identity(url: str) -> str:
    """Return the part that all addresses of one image share: its name in the storage of the site."""
    parsed = ImageUrl.parse(url)
    return parsed.uuid.lower() if parsed is not None else url


class ImageIds:
    """The numbers of images by their addresses, for lists that have the addresses alone.

    Any address of an image finds its number. An image whose address is unknown is found by its blurhash, as long as
    no other known image has the same one.
    """

    def __init__(self, images: Iterable[Image] = ()) -> None:
        self._by_url: dict[str, int] = {}
        self._by_hash: dict[str, set[tuple[int, int | None, int | None]]] = {}
        for image in images:
            self.add(image.url, image.id, hash=image.hash, width=image.width, height=image.height)

    def add(
        self, url: str, number: int, *, hash: str | None = None, width: int | None = None, height: int | None = None
    ) -> None:
        """Remember an image: its address, its number and, where known, its blurhash and its size in pixels."""
        self._by_url.setdefault(identity(url), number)
        if hash:
            self._by_hash.setdefault(hash, set()).add((number, width, height))

    def find(
        self, url: str, *, hash: str | None = None, width: int | None = None, height: int | None = None
    ) -> int | None:
        """Return the number of an image by its address, else by its blurhash; None if neither is known."""
        number = self._by_url.get(identity(url))
        if number is not None or not hash:
            return number
        alike = {
            known
            for known, *sides in self._by_hash.get(hash, ())
            if all(None in pair or pair[0] == pair[1] for pair in zip(sides, (width, height), strict=True))
        }
        return alike.pop() if len(alike) == 1 else None

    def __len__(self) -> int:
        return len(self._by_url)


def numbered(previews: Iterable[ModelImage], images: Iterable[Image]) -> tuple[ModelImage, ...]:
    """Return a version's previews with their ids, found by address or blurhash among the full images; each once.

    Only lists have the ids of previews; the answer about a version does not.
    """
    ids = ImageIds(images)
    seen: dict[str, ModelImage] = {}
    for preview in previews:
        if preview.id is None:
            known = ids.find(preview.url, hash=preview.hash, width=preview.width, height=preview.height)
            preview = replace(preview, id=known)
        seen.setdefault(identity(preview.url), preview)
    return tuple(seen.values())

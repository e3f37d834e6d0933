"""The previews of a gallery: which files they are, how a page reaches them, and their sizes and thumbnails."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from synapse_sync.core.companion import FILMS
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import State
from synapse_sync.core.rating import rating_name
from synapse_sync.engine.survey import Survey
from synapse_sync.engine.thumbnails import can_make, thumbnails
from synapse_sync.errors import Conflict
from synapse_sync.gallery.image_size import image_size
from synapse_sync.gallery.page import relative_url
from synapse_sync.gallery.values import Media
from synapse_sync.store.durable import about_project, make_dirs, write_atomic
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.store.sidecars import OwnPreviews
from synapse_sync.user.small_files import read_small

#: The largest preview, in bytes, that is read for its thumbnail or copied.
_LARGEST = 64 << 20
#: How many of its first bytes say its size: those of a JPEG may begin with a whole colour profile.
_HEAD = 256 << 10
#: The directory beside a portable page.
MEDIA = "media"
_PRESENT = (State.PLACED, State.ALTERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One preview on disk: the paths of its still and its film, the site's facts about it, and its rating."""

    rating: str
    rated: bool
    still: Path | None = None
    film: Path | None = None
    width: int = 0
    height: int = 0

    @property
    def files(self) -> tuple[Path, ...]:
        """The paths of its still and its film, without None."""
        return tuple(path for path in (self.still, self.film) if path is not None)


@dataclass(slots=True, kw_only=True)
class Previews:
    """Finds the previews of models and of single files of weights in the trees of a survey."""

    survey: Survey
    _placed: dict[str, dict[str, Found]] = field(default_factory=dict)
    _own: dict[str, OwnPreviews] = field(default_factory=dict)

    def __post_init__(self) -> None:
        trees = self.survey.trees
        paths = frozenset(
            f"{tree.root}/{path}" for tree in trees.values() for path in (*tree.receipt.entries, *tree.others)
        )
        self._own = {name: OwnPreviews(tree.root, paths) for name, tree in trees.items()}
        for companion in self.survey.companions:
            found = self.survey.observed.get(companion.key)
            about = companion.depicts
            if about is None or found is None or found.state not in _PRESENT:
                continue
            kept = self._placed.setdefault(companion.model.name, {})
            # A film and its still have one address at the site; in several targets they are the same again.
            before = kept.get(about.url.text) or Found(
                rating=rating_name(about.nsfw, companion.model.card.nsfw),
                rated=bool(about.nsfw),
                width=about.width or 0,
                height=about.height or 0,
            )
            path = trees[companion.target].root / companion.path.text
            if companion.film:
                kept[about.url.text] = replace(before, film=before.film or path)
            else:
                kept[about.url.text] = replace(before, still=before.still or path)

    def of_model(self, name: str, beside: Iterable[tuple[str, str]], nsfw: int | None) -> tuple[Found, ...]:
        """The previews of a model, the user's own first; `beside` are the targets and paths of its weights."""
        own = next(filter(None, (self.beside(target, path, nsfw) for target, path in beside)), None)
        placed = tuple(self._placed.get(name, {}).values())
        return placed if own is None else (own, *placed)

    def beside(self, target: str, path: str, nsfw: int | None) -> Found | None:
        """The user's own preview beside a file of weights, which nobody rated; None if it has none."""
        found = self._own[target].beside(SafePath(path)) if target in self._own else None
        if found is None:
            return None
        place = self.survey.trees[target].root / found.text
        is_film = found.text.rpartition(".")[2].casefold() in FILMS
        rating = rating_name(0, nsfw)
        return Found(rating=rating, rated=False, still=None if is_film else place, film=place if is_film else None)


@dataclass(frozen=True, slots=True)
class Page:
    """The directory of the page, and whether the files that it shows are copied beside it."""

    directory: Path
    portable: bool = False


def shown(
    found: Sequence[Sequence[Found]], page: Page, cache: PreviewCache, *, force: bool
) -> list[tuple[Media, ...]]:
    """The media of each card as the page shows them, with a thumbnail of each cover where Pillow is installed.

    With a portable page the files are copied first. Raises `Conflict`, `StorageError`.
    """
    urls = _copies(found, page, force=force) if page.portable else _links(found, page.directory)
    covers = [media[0].still if media else None for media in found]
    small = thumbnails(covers, _read, cache) if can_make() else [b""] * len(covers)
    return [
        tuple(_media(each, urls, small[number] if at == 0 else b"") for at, each in enumerate(media))
        for number, media in enumerate(found)
    ]


def _media(found: Found, urls: Mapping[Path, str | None], thumbnail: bytes) -> Media:
    size = image_size(_head(found.still)) or (found.width, found.height)
    return Media(
        rating=found.rating,
        rated=found.rated,
        still=None if found.still is None else urls.get(found.still),
        film=None if found.film is None else urls.get(found.film),
        width=size[0],
        height=size[1],
        thumbnail=thumbnail,
    )


def _read(path: Path | None) -> bytes:
    """The bytes of a preview; none for one that cannot be read, or that is too large for one."""
    if path is None:
        return b""
    try:
        return read_small(path, _LARGEST)
    except OSError:
        return b""


def _head(path: Path | None) -> bytes:
    """The first bytes of a preview; none for one that cannot be read."""
    try:
        if path is None or not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _every(found: Sequence[Sequence[Found]]) -> Iterator[Path]:
    return (path for media in found for each in media for path in each.files)


def _links(found: Sequence[Sequence[Found]], directory: Path) -> Mapping[Path, str | None]:
    """The URL of each file, relative to the directory of the page."""
    start = os.path.realpath(directory)
    return {path: _link(path, start) for path in _every(found)}


def _link(path: Path, start: str) -> str | None:
    """The URL of a file; None on another drive of Windows, to which no relative one leads."""
    try:
        return relative_url(Path(os.path.relpath(path, start)).as_posix())
    except ValueError:
        return None


def _copies(found: Sequence[Sequence[Found]], page: Page, *, force: bool) -> Mapping[Path, str | None]:
    """Copy each file into the directory beside the page, under the digest of its content; returns their URLs."""
    urls: dict[Path, str | None] = {}
    for path in _every(found):
        if path in urls:
            continue
        content = _read(path)
        name = f"{hashlib.sha256(content).hexdigest()[:32]}{path.suffix.lower()}"
        urls[path] = relative_url(f"{MEDIA}/{name}") if content else None
        if content:
            _copy(page.directory / MEDIA / name, content, force=force)
    return urls


def _copy(place: Path, content: bytes, *, force: bool) -> None:
    """Write one file; the same bytes may be there already. Raises `Conflict` for others, unless forced."""
    if place.is_symlink() or place.exists():
        if not place.is_symlink() and _read(place) == content:
            return
        if not force:
            raise Conflict(
                f"{place} exists and is another file; it was not replaced", hint="name an empty directory"
            )
    with about_project():
        make_dirs(place.parent, durable=False)
        write_atomic(place, content)

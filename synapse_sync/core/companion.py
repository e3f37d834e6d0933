"""Companions: the previews and sidecars beside the weights of a model. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from synapse_sync.core.artifact import Artifact, ModelCard, Preview
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.names import SafePath
from synapse_sync.core.rating import may_be_shown
from synapse_sync.core.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteFacts:
    """The facts of a sidecar that are true of certain bytes only, and so change together.

    `keys` are their keys. `known_by` are the paths of keys that identify the bytes: a digest, the number of a
    version. `own` are keys below them that belong to the user.
    """

    keys: frozenset[str]
    known_by: tuple[tuple[str, ...], ...]
    own: frozenset[str] = frozenset()

    def differ(self, theirs: Mapping[str, object], ours: Mapping[str, object]) -> bool:
        """Whether two sidecars are surely about different bytes: both have an identity, and it is not the same."""
        pairs = ((_value_at(theirs, path), _value_at(ours, path)) for path in self.known_by)
        return any(one and other and one != other for one, other in pairs)


def _value_at(words: object, path: Sequence[str]) -> str:
    """The value below several keys as text in lower case: digests are written both ways. Empty if it is missing."""
    for key in path:
        words = words.get(key) if isinstance(words, Mapping) else None
    return str(words or "").casefold() if isinstance(words, str | int) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """One wanted preview, sidecar or note of a branch, beside wanted weights.

    `kind` is "preview", "ref" or the name of a sidecar. `made` is a digest of all facts that decide its content: a
    placed companion is right as long as it is the same. For a preview, `url` is its location and `film` whether it
    moves.
    For a sidecar, `preview` is the path of the preview that UIs show, and `type` that of the model; `layout` names
    the layout of the target, and `facts` are those of its keys that change together. `shown` is what is locked
    about the preview that UIs show, `depicts` about this very preview. `content` are the bytes of a "ref", the note
    of a branch in a cache of the hub.
    """

    target: str
    path: SafePath
    beside: SafePath
    kind: str
    made: str
    model: LockedModel
    artifact: Artifact
    preview: SafePath | None = None
    url: str | None = None
    film: bool = False
    layout: str = ""
    type: str | None = None
    shown: Preview | None = None
    depicts: Preview | None = None
    content: bytes | None = None
    facts: ByteFacts | None = None

    @property
    def is_sidecar(self) -> bool:
        """Whether it is a document with keys, into which others may have written, too."""
        return self.kind not in ("preview", "ref")

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the path among all targets."""
        return (self.target, self.path.text)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The reason why a companion has no content; `passing` if a later sync may succeed."""

    why: str
    passing: bool


#: The endings of stills and films that UIs look for, in the order in which A1111 does.
STILLS = ("png", "jpg", "jpeg", "webp", "gif")
FILMS = ("mp4", "webm")
#: The same with further endings under which a user may keep a preview that some UI shows.
_PREVIEWS = (*STILLS, *FILMS, "avif", "jxl", "bmp")


def previewed(filename: str) -> Iterator[tuple[str, int]]:
    """The weights that a file may be a preview of: their stem in lower case, and its rank among their previews.

    UIs take the first of `STEM.png`, `STEM.preview.png`, `STEM.jpg` and so on. Case counts on some systems only.
    """
    name, _, ending = filename.casefold().rpartition(".")
    if not name or ending not in _PREVIEWS:
        return
    rank = 2 * _PREVIEWS.index(ending)
    yield name, rank
    if (stem := name.removesuffix(".preview")) != name:
        yield stem, rank + 1


def made_from(*facts: object) -> str:
    """A digest of the facts that decide a companion's content, in hexadecimal."""
    text = json.dumps(facts, ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def chosen(card: ModelCard, *, cover: Reference | None, rating: str, count: int) -> tuple[Preview, ...]:
    """Choose previews: the user's cover, whatever it shows, then the site's in order, as far as they may be shown.

    `rating` is the most explicit wanted one, `count` the number of previews in all. No address comes twice.
    """
    previews = card.previews
    by_url = {preview.url: preview for preview in reversed(previews)}
    first = () if cover is None else (by_url.pop(cover, Preview(url=cover)),)
    rest = (by_url.pop(preview.url, None) for preview in previews)
    fitting = (p for p in rest if p is not None and may_be_shown(p.nsfw, card.nsfw, rating))
    return (*first, *fitting)[:count]


def sidecar_bytes(words: Mapping[str, object]) -> bytes:
    """Return the content of a sidecar, as the tools write it themselves."""
    return json.dumps(words, ensure_ascii=False, indent=4).encode("utf-8", "replace") + b"\n"


def merge(
    theirs: Mapping[str, object],
    base: Mapping[str, object],
    ours: Mapping[str, object],
    facts: ByteFacts | None = None,
) -> dict[str, object]:
    """Update a sidecar that somebody else wrote or changed, without losing any of their changes.

    `theirs` is the present content, `base` the content that synapse wrote last (empty if it never did), `ours` the
    new one. A key that they left unchanged gets the new value; one that they changed or removed stays theirs. A key
    that is new or empty gets the new value. If `theirs` is about other bytes than `ours`, all keys of `facts` get
    the new values: the digest of one version is never beside the number of another.
    """
    merged = dict(theirs)
    for key, value in ours.items():
        if key in base:
            if key in theirs and theirs[key] == base[key]:
                merged[key] = value
        elif theirs.get(key) in (None, "", [], {}):
            merged[key] = value
    if facts is not None and facts.differ(theirs, ours):
        for key in facts.keys & theirs.keys():
            _replace(merged, key, ours, facts)
    return merged


def _replace(merged: dict[str, object], key: str, ours: Mapping[str, object], facts: ByteFacts) -> None:
    """Replace a fact of other bytes, or remove it if `ours` has none; the user's own keys below it stay."""
    before = merged.pop(key)
    kept = {own: before[own] for own in facts.own & before.keys()} if isinstance(before, Mapping) else {}
    if kept:
        value = ours.get(key)
        merged[key] = {**(value if isinstance(value, Mapping) else {}), **kept}
    elif key in ours:
        merged[key] = ours[key]

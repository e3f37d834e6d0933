"""The page: a gallery as one HTML document without a request to any site. Pure.

Texts of sites and files reach the page only as JSON in a block of data, in which no `<` is left. The script writes
them as text. The policy in the page's head permits that one script and style, by their hashes, and no connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from synapse_sync.core.artifact import RATINGS
from synapse_sync.gallery.values import Card, Gallery, Media, Pieces

#: The first bytes of every page that synapse wrote: only such a file is replaced.
MARKER = "<!doctype html>\n<!-- synapse gallery"
#: How many thumbnails one block of data has: the page reads a block when it first shows one of them.
_BLOCK = 64
#: How much of a text, and of a list, the page shows.
_LONGEST, _MOST = 400, 200
_SLOT = re.compile(r"\{\{([a-z]+)\}\}")
#: Invisible characters that could turn the text around them: controls, directions, line separators, surrogates.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WORDS = tuple(RATINGS)


def page(gallery: Gallery, pieces: Pieces) -> str:
    """Return the page of a gallery: the same values make the same text."""
    covers = [media.thumbnail for card in gallery.cards for media in card.media[:_MOST] if media.thumbnail]
    slots = {
        "marker": f"{MARKER} 1 -->",
        "policy": policy(pieces),
        "title": _escaped(_text(gallery.title)),
        "style": pieces.css,
        "script": pieces.js,
        "data": _json(_document(gallery)),
        "thumbnails": "\n".join(_blocks(covers)),
        "version": _escaped(_text(gallery.version)),
    }
    return _SLOT.sub(lambda slot: slots[slot[1]], pieces.html)


def is_page(head: bytes) -> bool:
    """Whether a file with these first bytes is a page that synapse wrote."""
    return head.startswith(MARKER.encode())


def policy(pieces: Pieces) -> str:
    """Return the content security policy: this script, this style, data and the files beside the page."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(pieces.js)}'",
            f"style-src '{_hash(pieces.css)}'",
            "img-src 'self' data:",
            "media-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def relative_url(path: str) -> str:
    """Return a relative path with slashes as a URL that can be nothing else: no host, no scheme, no query."""
    return "./" + "/".join(quote(part, safe="", errors="replace") for part in path.split("/") if part)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _text(text: str) -> str:
    """A text of anybody, without invisible characters and not too long."""
    shown = _UNSEEN.sub(" ", text[: _LONGEST * 2])
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _texts(texts: Sequence[str]) -> list[str]:
    return [_text(text) for text in texts[:_MOST]]


def _json(value: object) -> str:
    """JSON that can be inside of a script element: no character of it can end one, or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _blocks(thumbnails: Sequence[bytes]) -> Iterator[str]:
    """Blocks of thumbnails, each a JSON list of base64 texts."""
    for first in range(0, len(thumbnails), _BLOCK):
        texts = [base64.b64encode(each).decode() for each in thumbnails[first : first + _BLOCK]]
        yield f'<script type="application/json" id="thumbnails-{first // _BLOCK}">{_json(texts)}</script>'


def _document(gallery: Gallery) -> dict[str, object]:
    number = iter(range(sum(len(card.media) for card in gallery.cards)))
    return {
        "asked": gallery.asked,
        "block": _BLOCK,
        "cards": [_card(card, number) for card in gallery.cards],
        "most": _WORDS.index(gallery.most),
        "ratings": list(_WORDS),
        "title": _text(gallery.title),
    }


def _card(card: Card, number: Iterator[int]) -> dict[str, Any]:
    """The values of a card; empty ones are left out. `number` counts the thumbnails of the page."""
    words = {
        "name": card.name, "state": card.state, "title": card.title, "version": card.version, "kind": card.kind,
        "base": card.base, "date": card.published, "licence": card.licence, "creator": card.creator,
        "reference": card.reference, "newer": card.newer, "held": card.held,
    }  # fmt: skip
    found: dict[str, Any] = {name: _text(word) for name, word in words.items() if word}
    lists = {"precision": card.precision, "words": card.words, "groups": card.groups}
    found |= {name: _texts(texts) for name, texts in lists.items() if texts}
    found |= {"size": card.size} if card.size else {}
    found |= {} if card.commercial is None else {"commercial": card.commercial}
    found |= {} if card.rating is None else {"rating": _WORDS.index(card.rating)}
    found |= {"page": card.page} if card.page and _is_link(card.page) else {}
    found |= {"media": [_media(media, number) for media in card.media[:_MOST]]} if card.media else {}
    if card.files:
        found["files"] = [[_text(f.name), f.size, f.sha256, f.precision or ""] for f in card.files[:_MOST]]
        found |= {"more": len(card.files) - _MOST} if len(card.files) > _MOST else {}
    if card.places:
        found["places"] = [[_text(p.target), _text(p.path), int(p.placed)] for p in card.places[:_MOST]]
    return found


def _media(media: Media, number: Iterator[int]) -> dict[str, Any]:
    found: dict[str, Any] = {"rating": _WORDS.index(media.rating)}
    found |= {} if media.rated else {"unrated": True}
    found |= {"still": media.still} if media.still else {}
    found |= {"film": media.film} if media.film else {}
    found |= {"size": [media.width, media.height]} if media.width and media.height else {}
    found |= {"thumbnail": next(number)} if media.thumbnail else {}
    return found


def _is_link(url: str) -> bool:
    """Whether a page of a site may be a link: over https, with nothing that could be another address."""
    return url.startswith("https://") and len(url) <= 2000 and _UNSEEN.search(url) is None

"""The forms of Civitai's references: `civitai:MODEL@VERSION`, the rest of an AIR, and the site's own addresses."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import SplitResult, parse_qsl, urlsplit

from synapse_sync.core.coordinates import Coordinates
from synapse_sync.core.digest import Digest
from synapse_sync.core.reference_text import has_control, refuse_secrets, shown
from synapse_sync.errors import InvalidReference
from synapse_sync.sites import named

#: The query keys of Civitai's download URLs that choose one file of a version.
SELECTORS = ("format", "fp", "quantType", "size", "type")

# Patterns are kept as text: `re` compiles and remembers them when they are first used, so importing is cheap.

#: Civitai's ids are 32-bit today; this is where its JavaScript would stop counting.
_MAX_ID = 2**53 - 1
_CIVITAI_PATHS = (
    (r"models/(?P<id>[0-9]+)(?:/[^/]*)*\Z", "page"),
    (r"api/v1/models/(?P<id>[0-9]+)\Z", "page"),
    (r"api/download/models/(?P<revision>[0-9]+)\Z", "download"),
    (r"(?:api/v1/)?model-versions/(?:mini/)?(?P<revision>[0-9]+)\Z", "version"),
    (r"api/v1/model-versions/by-hash/(?P<hash>[0-9a-fA-F]+)\Z", "hash"),
)
#: The algorithms of its hashes by the number of digits. Eight could be a CRC32 as well; the site looks both up in
#: one table.
HASHES = {64: "sha256", 12: "autov3", 10: "autov2", 8: "autov1"}
#: The rest of an AIR; layer (`:name`) and format (`.safetensor`) say nothing that the ids do not.
_CIVITAI = (
    r"(?a)(?P<id>\d+)?(?:@(?P<revision>\d+))?(?::[\w\-]+)?(?:\+(?P<file>\d+))?(?::[\w\-]+)?(?:\.[\w\-]+)?"
    r"(?:\?(?P<query>.*))?\Z"
)
#: The same with nothing but ids in their one form, as most are.
_IDS = r"([1-9][0-9]{0,14})(?:@([1-9][0-9]{0,14})(?:\+([1-9][0-9]{0,14}))?)?\Z"


@cache
def plain_ids() -> re.Pattern[str]:
    """The pattern of a model, a version and a file that are written canonically: three groups."""
    return re.compile(_IDS)


def read_civitai(rest: str, text: str) -> Coordinates:
    match = re.match(_CIVITAI, rest)
    if match is None or (match["id"] is None and match["revision"] is None):
        raise InvalidReference(
            f"`{shown(text)}` is not a Civitai reference",
            hint="`civitai:MODEL`, `civitai:MODEL@VERSION`, `civitai:MODEL@VERSION+FILE` or `civitai:@VERSION`",
        )
    query: tuple[tuple[str, str], ...] = ()
    if match["query"] is not None:
        refuse_secrets(match["query"], text, named("civitai"))
        query = _selectors(match["query"])
        if len(query) != match["query"].count("&") + 1:
            raise InvalidReference(f"`{shown(text)}`: after `?` only {', '.join(SELECTORS)} are known, each once")
    if match["revision"] is None and (match["file"] is not None or query):
        raise InvalidReference(f"`{shown(text)}` chooses a file without a version", hint="add `@VERSION` before it")
    return _checked(text, match["id"], match["revision"], match["file"], query)


def _checked(
    text: str, id: str | None, revision: str | None, file: str | None, query: tuple[tuple[str, str], ...] = ()
) -> Coordinates:
    """Check the ids and write them in one form. A file id decides alone, so selectors beside it are dropped."""
    return Coordinates(
        "civitai",
        _number(id, text) or "",
        _number(revision, text),
        _number(file, text),
        query if file is None else (),
    )


def _number(digits: str | None, text: str) -> str | None:
    if digits is None:
        return None
    if len(digits) > 20 or not digits.isascii() or not digits.isdigit() or not 0 < int(digits) <= _MAX_ID:
        raise InvalidReference(f"`{shown(text)}`: `{shown(digits[:24])}` is not an id of Civitai")
    return str(int(digits))


def _selectors(query: str) -> tuple[tuple[str, str], ...]:
    pairs = parse_qsl(query, errors="strict")
    if has_control(query + "".join(value for _, value in pairs)):
        raise ValueError("control characters in a query")
    # If a key appears twice, the site uses the first one.
    return tuple(sorted(dict(pair for pair in reversed(pairs) if pair[0] in SELECTORS and pair[1]).items()))


def read_page(parts: SplitResult, text: str) -> Coordinates:
    refuse_secrets(parts.query, text, named("civitai"))
    path = parts.path.strip("/")
    for pattern, form in _CIVITAI_PATHS:
        if (match := re.match(pattern, path)) is None:
            continue
        query = dict(reversed(parse_qsl(parts.query)))
        if form == "page":
            return _checked(text, match["id"], query.get("modelVersionId"), None)
        if form == "download":
            return _checked(text, None, match["revision"], query.get("fileId"), _selectors(parts.query))
        if form == "version":
            return _checked(text, None, match["revision"], None)
        if (algorithm := HASHES.get(len(match["hash"]))) is not None:
            return Coordinates("hash", str(Digest(algorithm, match["hash"].lower())))
    raise InvalidReference(
        f"`{shown(text)}` is a page of Civitai, but not that of a model",
        hint="open the model's page and copy its address: "
        f"`{named('civitai').home}/models/ID?modelVersionId=VERSION`",
    )


def image_id(text: str) -> int | None:
    """Return the number of an image: `text` is that number, or the address of its page; None for anything else."""
    text = text.strip()
    if not text.isascii() or len(text) > 400:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    path = f"/images/{text}"
    if parts.scheme:
        path = parts.path if parts.scheme in ("https", "http") and parts.hostname in named("civitai").hosts else ""
    match = re.match(r"/images/([0-9]{1,16})/?\Z", path)
    return int(match[1]) if match is not None and 0 < int(match[1]) <= _MAX_ID else None

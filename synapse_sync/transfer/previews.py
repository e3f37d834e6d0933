"""Download previews. A failure leaves the preview out with a warning; no sync fails because of one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping

from synapse_sync.blocks import new_block
from synapse_sync.core.companion import LeftOut
from synapse_sync.errors import InvalidSettings, NetworkError, SynapseError
from synapse_sync.net.at_once import as_ready
from synapse_sync.net.credentials import display_url
from synapse_sync.net.failures import may_change
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.store.preview_cache import PreviewCache

#: No preview of 450 pixels is as large as this (bytes); a larger answer is not read to its end.
MAX_BYTES = 64 * 1024 * 1024
#: Seconds that one preview may take, however slowly it comes.
LONGEST = 60.0
_CONNECTIONS = 4
_STILLS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8")


def fetch_previews(
    wanted: Iterable[tuple[str, bool]],
    *,
    wire: Callable[[], Wire],
    cache: PreviewCache,
    retry: Retry,
    max_bytes: int = MAX_BYTES,
    longest: float = LONGEST,
) -> Mapping[str, bytes | LeftOut]:
    """Fetch previews by address, each with whether it is a film; each once, from the cache where possible.

    A preview of more than `max_bytes` bytes, or one that takes more than `longest` seconds, is left out. An address
    that has none for good is remembered, so that not every sync asks for it.
    """

    def fetch(item: tuple[str, bool]) -> bytes | LeftOut:
        url, film = item
        return _fetch(film, lambda: _read(url, line, max_bytes, longest), retry)

    found: dict[str, bytes | LeftOut] = {}
    missing: dict[str, bool] = {}
    for url, film in dict(wanted).items():
        if (content := cached_preview(cache, url, film=film)) is not None:
            found[url] = content
        elif (why := cache.given_up(url)) is not None:
            found[url] = LeftOut(why, passing=False)
        else:
            missing[url] = film
    if missing:
        line = wire()
        for (url, _), answer in as_ready(fetch, list(missing.items()), _CONNECTIONS):
            found[url] = answer
            if isinstance(answer, bytes):
                cache.put(url, answer)
            elif not answer.passing:
                cache.give_up(url, answer.why)
    return found


def cached_preview(cache: PreviewCache, url: str, *, film: bool) -> bytes | None:
    """The preview of an address in the cache. The rest of one after a power loss counts as missing."""
    content = cache.get(url)
    return content if content is not None and is_preview(content, film=film) else None


def is_preview(content: bytes, *, film: bool) -> bool:
    """Whether bytes begin like a still image or, with `film`, like a film."""
    if film:
        return content[4:8] == b"ftyp" or content.startswith(b"\x1a\x45\xdf\xa3")
    return content.startswith(_STILLS) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def _fetch(film: bool, read: Callable[[], bytes], retry: Retry) -> bytes | LeftOut:
    """The bytes that `read` returns, perhaps at a later attempt, or why they are left out."""
    attempt = 0
    while True:
        attempt += 1
        try:
            content = read()
        except NetworkError as error:
            left, pause = LeftOut(error.message, may_change(error)), retry.after(attempt, error, random.random())
        except InvalidSettings as error:  # the preview itself may be fine
            return LeftOut(error.message, passing=True)
        except SynapseError as error:
            return LeftOut(error.message, passing=False)
        else:
            if not is_preview(content, film=film):
                return LeftOut(f"the answer is not {'a film' if film else 'an image'}", passing=False)
            return content
        if pause is None:
            return left
        time.sleep(pause)


def _read(url: str, wire: Wire, max_bytes: int, longest: float) -> bytes:
    """The whole answer; raises `NetworkError` if it is too long or takes too long."""
    stream = wire.open(url, verified=True)  # `is_preview` looks at the bytes, whatever their label
    end = time.monotonic() + longest
    try:
        content = bytearray()
        buffer = new_block(1 << 16)
        while count := stream.readinto(buffer):
            content += buffer[:count]
            if len(content) > max_bytes:
                raise NetworkError(f"more than {max_bytes / (1 << 20):,.0f} MB")
            if time.monotonic() > end:
                raise NetworkError(f"{display_url(url)} took more than {longest:.0f} s")
        return bytes(content)
    finally:
        stream.close()

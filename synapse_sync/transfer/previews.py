"""Fetch previews. Whatever goes wrong is told and left out; no sync fails for an image."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from synapse_sync.core.companion import LeftOut
from synapse_sync.errors import NetworkError, SynapseError
from synapse_sync.net.credentials import display_url
from synapse_sync.net.failures import may_pass
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.store.preview_cache import PreviewCache

#: No preview of 450 pixels is as large as this (bytes); what is larger is not read to the end.
MAX_BYTES = 64 * 1024 * 1024
_CONNECTIONS = 4
#: Seconds that one image may take, however slowly it comes.
_LONGEST = 60.0
_STILLS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8")


def fetch_previews(
    wanted: Iterable[tuple[str, bool]], *, wire: Callable[[], Wire], cache: PreviewCache, retry: Retry
) -> Mapping[str, bytes | LeftOut]:
    """Fetch previews by address, each with whether it is a film; each once, from the cache where it can be.

    An address that gives none for good is remembered, so that not every sync asks for it.
    """
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
        pool = ThreadPoolExecutor(_CONNECTIONS)
        try:
            answers = pool.map(lambda item: _fetch(item[0], item[1], line, retry), missing.items())
            for url, answer in zip(missing, answers, strict=True):
                found[url] = answer
                if isinstance(answer, bytes):
                    cache.put(url, answer)
                elif not answer.passing:
                    cache.give_up(url, answer.why)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return found


def cached_preview(cache: PreviewCache, url: str, *, film: bool) -> bytes | None:
    """The preview of an address as the cache has it; what a power loss may have left of one does not count."""
    content = cache.get(url)
    return content if content is not None and is_preview(content, film=film) else None


def is_preview(content: bytes, *, film: bool) -> bool:
    """Whether bytes are what their beginning says: a still image, or a film."""
    if film:
        return content[4:8] == b"ftyp" or content.startswith(b"\x1a\x45\xdf\xa3")
    return content.startswith(_STILLS) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def _fetch(url: str, film: bool, wire: Wire, retry: Retry) -> bytes | LeftOut:
    attempt = 0
    while True:
        attempt += 1
        try:
            content = _read(url, wire)
        except NetworkError as error:
            left, pause = LeftOut(error.message, may_pass(error)), retry.after(attempt, error, random.random())
        except SynapseError as error:
            return LeftOut(error.message, passing=False)
        else:
            if content is None:
                return LeftOut(f"more than {MAX_BYTES >> 20} MB", passing=False)
            if not is_preview(content, film=film):
                return LeftOut(f"what came is no {'film' if film else 'image'}", passing=False)
            return content
        if pause is None:
            return left
        time.sleep(pause)


def _read(url: str, wire: Wire) -> bytes | None:
    """The whole answer, or None if it is too long."""
    stream = wire.open(url)
    end = time.monotonic() + _LONGEST
    try:
        content = bytearray()
        buffer = memoryview(bytearray(1 << 16))
        while count := stream.readinto(buffer):
            content += buffer[:count]
            if len(content) > MAX_BYTES:
                return None
            if time.monotonic() > end:
                raise NetworkError(f"{display_url(url)} took more than {_LONGEST:.0f} s")
        return bytes(content)
    finally:
        stream.close()

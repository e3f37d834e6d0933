"""Which previews are accepted, and for how long we wait for one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.net.credentials import Credentials
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.transfer.previews import LeftOut, fetch_previews, is_preview

STILLS = {
    "JPEG": b"\xff\xd8\xff\xe0" + bytes(12),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(8),
    "GIF": b"GIF89a" + bytes(10),
    "WebP": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
}
FILMS = {"MP4": b"\x00\x00\x00\x18ftypmp42", "WebM": b"\x1a\x45\xdf\xa3" + bytes(12)}
OTHERS = {
    "a sound": b"RIFF\x00\x00\x00\x00WAVEfmt ",
    "WEBP elsewhere": b"RIFX\x00\x00\x00\x00WEBPVP8 ",
    "a page": b"<!DOCTYPE html>",
    "nothing": b"",
}


@pytest.mark.parametrize("name", STILLS)
def test_a_still_is_a_still_and_no_film(name: str) -> None:
    assert is_preview(STILLS[name], film=False) and not is_preview(STILLS[name], film=True)


@pytest.mark.parametrize("name", FILMS)
def test_a_film_is_a_film_and_no_still(name: str) -> None:
    assert is_preview(FILMS[name], film=True) and not is_preview(FILMS[name], film=False)


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_is_neither(name: str) -> None:
    assert not is_preview(OTHERS[name], film=False) and not is_preview(OTHERS[name], film=True)


class Endless:
    """An answer that brings a byte at a time, for ever."""

    def open(self, url: str, *, verified: bool) -> Endless:
        return self

    def readinto(self, buffer: memoryview) -> int:
        return len(buffer)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("limit", "why"), [({"longest": -1.0}, "took more than"), ({"max_bytes": 9 << 20}, "more than 9 MB")]
)
def test_a_preview_without_end_is_left_out(tmp_path: Path, limit: dict[str, Any], why: str) -> None:
    url = "https://image.example/1.png"
    found = fetch_previews([(url, False)], wire=Endless, cache=PreviewCache(tmp_path), retry=Retry(), **limit)[url]
    assert isinstance(found, LeftOut) and why in found.why and not found.passing


def test_a_proxy_that_cannot_be_used_says_nothing_about_an_address(tmp_path: Path) -> None:
    """Once the setting is mended, the next sync has to ask."""
    url, cache = "https://image.example/1.png", PreviewCache(tmp_path)
    os.environ["HTTPS_PROXY"] = os.environ["https_proxy"] = "socks5://127.0.0.1:9"
    with Wire(Credentials()) as wire:
        found = fetch_previews([(url, False)], wire=lambda: wire, cache=cache, retry=Retry())[url]
    assert isinstance(found, LeftOut) and "SOCKS" in found.why and found.passing
    assert cache.given_up(url) is None

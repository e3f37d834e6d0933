"""Sizes of images, read from their first bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.demo.weights import png_bytes
from synapse_sync.gallery.image_size import image_size

EXIF = b"\xff\xe1" + struct.pack(">H", 2 + 5_000) + b"\xff" * 5_000
FRAME = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, 300, 200, 1) + b"\x01\x11\x00"
IMAGES = {
    "gif": b"GIF89a" + struct.pack("<HH", 200, 300) + b"\0" * 8,
    "jpeg": b"\xff\xd8" + EXIF + b"\xff\xff" + FRAME,
    "jpeg with tables first": b"\xff\xd8\xff\xc4\x00\x04ab" + FRAME,
    "webp": b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 200, 300),
    "webp without loss": b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 199 | 299 << 14),
    "webp extended": b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + struct.pack("<HBHB", 199, 0, 299, 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", IMAGES)
def test_each_format_says_its_size(kind: str) -> None:
    assert image_size(IMAGES[kind]) == (200, 300)


def test_a_png_says_its_size() -> None:
    assert image_size(png_bytes("x", width=37, height=41)) == (37, 41)


@pytest.mark.parametrize("kind", IMAGES)
def test_too_few_bytes_say_nothing(kind: str) -> None:
    for count in range(len(IMAGES[kind]) - 4):
        assert image_size(IMAGES[kind][:count]) in (None, (200, 300))
    assert image_size(IMAGES[kind][:8]) is None


@given(st.sampled_from([b"", *(image[:12] for image in IMAGES.values()), b"\xff\xd8"]), st.binary())
def test_any_bytes_have_a_size_or_none(head: bytes, rest: bytes) -> None:
    found = image_size(head + rest)
    assert found is None or min(found) > 0

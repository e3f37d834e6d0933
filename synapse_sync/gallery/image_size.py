"""The size of an image by its first bytes: PNG, JPEG, WebP and GIF. Pure.

Sources: PNG (W3C), section 11.2.2; JPEG (ITU T.81), annex B; the WebP container specification; GIF89a, section 18.
"""

from __future__ import annotations

#: The markers of JPEG frames; the others between 0xC0 and 0xCF are tables.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels; None for another format, or for fewer bytes than it takes to know."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        found = _big(data, 16, 4), _big(data, 20, 4)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        found = _little(data, 6, 2), _little(data, 8, 2)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        found = _webp(data)
    elif data.startswith(b"\xff\xd8"):
        found = _jpeg(data)
    else:
        return None
    return found if found[0] > 0 and found[1] > 0 else None


def _big(data: bytes, at: int, count: int) -> int:
    """A big-endian number; 0 where the data ends before it."""
    piece = data[at : at + count]
    return int.from_bytes(piece, "big") if len(piece) == count else 0


def _little(data: bytes, at: int, count: int) -> int:
    piece = data[at : at + count]
    return int.from_bytes(piece, "little") if len(piece) == count else 0


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
    if kind == b"VP8L" and len(data) >= 25:
        bits = _little(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
    return 0, 0


def _jpeg(data: bytes) -> tuple[int, int]:
    """The size in the first frame header; the segments before it are passed over by their lengths."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return 0, 0
        marker = data[at + 1]
        if marker in _FRAMES:
            return _big(data, at + 7, 2), _big(data, at + 5, 2)
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + max(2, _big(data, at + 2, 2))
    return 0, 0

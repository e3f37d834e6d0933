"""The texts that programs write into images: PNG, JPEG and WebP. Pure.

Only the frame of each format is read, never a pixel. Sources: the PNG specification (`tEXt`, `zTXt`, `iTXt`), Exif
2.3 (`UserComment`, `ImageDescription`, `Make`), and the WebP container. A1111 and its forks write `parameters` into
PNG, and the same text as a `UserComment` into JPEG and WebP. ComfyUI writes `prompt` and `workflow` into PNG, and
into WebP as Exif texts that begin with those words.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from synapse_sync.errors import InputError

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
#: The most bytes of all texts in one image, unpacked: the largest workflows in use have 2 MB.
LARGEST = 16 << 20
#: The most parts of an image that are looked at.
_PARTS = 200_000
#: The keys of PNG that a reader here knows.
_KEYS = frozenset({"parameters", "prompt", "workflow"})
#: Exif tags of texts: ImageDescription, Make, Model and UserComment, and the pointer to the table with that.
_TEXT_TAGS, _USER_COMMENT = frozenset({0x010E, 0x010F, 0x0110}), 0x9286
_EXIF_POINTER = 0x8769


def is_image(data: bytes) -> bool:
    """Whether these are the bytes of a PNG, a JPEG or a WebP."""
    return data.startswith((_PNG, _JPEG)) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def image_texts(data: bytes) -> dict[str, str]:
    """The texts in an image by the keys `parameters`, `prompt` and `workflow`; without other keys.

    Damaged parts are passed over. Raises `InputError` for texts of more than `LARGEST` bytes.
    """
    pairs = _of_png(data) if data.startswith(_PNG) else _of_exif(_exif(data))
    found: dict[str, str] = {}
    size = 0
    for key, text in pairs:
        size += len(text)
        if size > LARGEST:
            raise InputError(f"it has more than {LARGEST >> 20} MB of text")
        if key in _KEYS:
            found.setdefault(key, text)
    return found


# -- PNG ----------------------------------------------------------------------------------------------


def _of_png(data: bytes) -> Iterator[tuple[str, str]]:
    at = len(_PNG)
    for _ in range(_PARTS):
        if at + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        at += 12 + length
        if len(body) < length or kind == b"IEND":
            return
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            key, _, rest = body.partition(b"\0")
            text = _png_text(kind, rest)
            if text is not None:
                yield key.decode("latin-1").casefold(), text


def _png_text(kind: bytes, rest: bytes) -> str | None:
    """The text behind the key of a chunk; None for a damaged one."""
    if kind == b"tEXt":
        return _latin_or_utf8(rest)
    if kind == b"zTXt":
        unpacked = _unpacked(rest[1:]) if rest[:1] == b"\0" else None
        return None if unpacked is None else _latin_or_utf8(unpacked)
    packed, method = rest[:1], rest[1:2]
    _, _, after = rest[2:].partition(b"\0")
    _, _, body = after.partition(b"\0")
    unpacked = body if packed == b"\0" else _unpacked(body) if method == b"\0" else None
    return None if unpacked is None else unpacked.decode("utf-8", "replace")


def _unpacked(data: bytes) -> bytes | None:
    """Inflated bytes; None if they are damaged. Raises `InputError` for a bomb."""
    reader = zlib.decompressobj()
    try:
        found = reader.decompress(data, LARGEST + 1)
    except zlib.error:
        return None
    if len(found) > LARGEST:
        raise InputError(f"it has more than {LARGEST >> 20} MB of text")
    return found


def _latin_or_utf8(data: bytes) -> str:
    """A text that should be Latin-1, and that some programs write as UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


# -- Exif ---------------------------------------------------------------------------------------------


def _exif(data: bytes) -> bytes:
    """The Exif block of a JPEG or a WebP, which is a TIFF file; empty if it has none."""
    found = next(_jpeg_blocks(data) if data.startswith(_JPEG) else _webp_blocks(data), b"")
    return found.removeprefix(b"Exif\0\0")


def _jpeg_blocks(data: bytes) -> Iterator[bytes]:
    at = 2
    for _ in range(_PARTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in (0xD9, 0xDA):  # the end, or the pixels
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            yield body
        at += 2 + max(length, 2)


def _webp_blocks(data: bytes) -> Iterator[bytes]:
    at = 12
    for _ in range(_PARTS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _of_exif(block: bytes) -> Iterator[tuple[str, str]]:
    """The texts of an Exif block, by what they begin with."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return
    (first,) = struct.unpack_from(f"{order}I", block, 4)
    for tag, value in _tags(block, order, first):
        if tag == _USER_COMMENT:
            yield _keyed(_comment(value))
        elif tag in _TEXT_TAGS:
            key, text = _keyed(_latin_or_utf8(value.rstrip(b"\0")))
            if key != "parameters":  # else it is the name of a camera
                yield key, text


def _tags(block: bytes, order: str, first: int) -> Iterator[tuple[int, bytes]]:
    """The tags of the main table and of the Exif table, each with its bytes."""
    tables, seen = [first], 0
    while tables and seen < 8:
        at, seen = tables.pop(), seen + 1
        if at + 2 > len(block):
            continue
        (count,) = struct.unpack_from(f"{order}H", block, at)
        for number in range(count):
            entry = at + 2 + 12 * number
            if entry + 12 > len(block):
                break
            tag, kind, length, value = struct.unpack_from(f"{order}HHII", block, entry)
            if tag == _EXIF_POINTER:
                tables.append(value)
            elif kind in (1, 2, 7):  # bytes, ASCII, undefined
                start = entry + 8 if length <= 4 else value
                yield tag, block[start : start + length]


def _comment(value: bytes) -> str:
    """A UserComment: eight bytes that name its code, then the text."""
    code, text = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        # Exif means UTF-16 in the order of the block, but piexif and its users always write big-endian: the words
        # that every such text has say which it is.
        texts = [text.decode(codec, "replace") for codec in ("utf-16-be", "utf-16-le")]
        return next((read for read in texts if "Steps:" in read or '":' in read), texts[0])
    return _latin_or_utf8((text if code.startswith((b"ASCII", b"\0")) else value).rstrip(b"\0"))


def _keyed(text: str) -> tuple[str, str]:
    """A text with its key: ComfyUI writes `workflow:{…}` and `prompt:{…}`; any other one is of A1111's kind."""
    head, colon, rest = text.partition(":")
    key = head.strip().casefold()
    if colon and key in ("prompt", "workflow") and rest.lstrip().startswith("{"):
        return key, rest
    return "parameters", text

"""Thumbnails: small WebP images of previews, made by Pillow if it is installed, and kept in the preview cache."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from synapse_sync.errors import StorageError
from synapse_sync.net.at_once import at_once
from synapse_sync.store.preview_cache import PreviewCache

#: How wide a thumbnail is, in pixels, for a page of up to that many: the fewer, the sharper.
_WIDTHS = ((400, 360), (1_000, 256), (3_000, 176))
_NARROWEST = 128
#: The quality of WebP, and the effort for it: more effort takes twice as long and saves a tenth.
_QUALITY, _EFFORT = 68, 2
#: The most bytes of all thumbnails of a page: a browser keeps them in memory. Later ones are left out.
MOST_BYTES = 16 << 20
#: The most pixels of an image that is decoded.
_MOST_PIXELS = 50_000_000
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")


def can_make() -> bool:
    """Whether Pillow, the extra `gallery`, is installed."""
    try:
        import PIL.Image  # noqa: F401 - only asked for
    except ImportError:
        return False
    return True


def thumbnails(paths: Sequence[Path | None], read: Callable[[Path], bytes], cache: PreviewCache) -> list[bytes]:
    """Return a thumbnail of each file; empty for None, for a file that is no image, and beyond `MOST_BYTES`.

    `read` returns the bytes of a file, which anybody may have made; it is called from threads.
    """
    count = sum(path is not None for path in paths)
    width = next((width for most, width in _WIDTHS if count <= most), _NARROWEST)
    made = at_once(
        lambda path: b"" if path is None else _thumbnail(read(path), width, cache), paths, os.cpu_count() or 1
    )
    found, total = [], 0
    for each in made:
        total += len(each)
        found.append(each if total <= MOST_BYTES else b"")
    return found


def _thumbnail(image: bytes, width: int, cache: PreviewCache) -> bytes:
    if not image:
        return b""
    key = f"thumbnail {width} {_QUALITY} {hashlib.sha256(image).hexdigest()}"
    try:
        if (kept := cache.get(key)) is not None:
            return kept
        made = _made(image, width)
        cache.put(key, made)
    except StorageError:  # a store that can only be read: the next run makes it again
        return _made(image, width)
    return made


def _made(image: bytes, width: int) -> bytes:
    """A WebP image of this width, or of the image's own if it is narrower; empty for bytes that are no image."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, for a person who cannot mend it
            with Image.open(io.BytesIO(image), formats=_FORMATS) as opened:
                if opened.width * opened.height > _MOST_PIXELS:
                    return b""
                return _encoded(opened, width)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, ArithmeticError, Image.DecompressionBombError):
        return b""


def _encoded(opened: Any, width: int) -> bytes:
    """The opened image, scaled down; a JPEG is decoded at a fraction of its size."""
    height = max(1, round(opened.height * min(1.0, width / opened.width)))
    opened.draft("RGB", (width, height))
    plain = opened.convert("RGBA" if "A" in opened.getbands() or opened.mode == "P" else "RGB")
    plain.thumbnail((width, height))
    out = io.BytesIO()
    plain.save(out, "WEBP", quality=_QUALITY, method=_EFFORT)
    return out.getvalue()

"""Small, genuine weight files: the same seed makes the same bytes."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping

WIDTH = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1}
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


#: The smallest JPEG that viewers open: one grey pixel.
_JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010101004800480000ffdb004300"
    + "ff" * 64
    + "ffc0000b080001000101011100ffc40014000100000000000000000000000000000009ffc40014100100000000000000"
    "000000000000000000ffda0008010100003f0054dfffd9"
)


def safetensors_bytes(
    seed: str,
    *,
    tensors: Tensors | int = 3,
    size: int = 4096,
    dtype: str = "F16",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return a valid safetensors file.

    `tensors` is either a table of name to (dtype, shape), or a number of tensors that share `size` bytes of data.
    """
    table = _share(tensors, size, dtype) if isinstance(tensors, int) else tensors
    header: dict[str, object] = {}
    if metadata is not None:
        header["__metadata__"] = dict(metadata)
    offset = 0
    for name, (kind, shape) in table.items():
        end = offset + WIDTH[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the reference writer aligns the data, too
    return struct.pack("<Q", len(text)) + text + noise(seed, offset)


def _share(count: int, size: int, dtype: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    each = max(1, size // WIDTH[dtype] // max(1, count))
    return {f"model.layers.{index}.weight": (dtype, (each,)) for index in range(count)}


def gguf_bytes(seed: str, *, size: int = 4096, architecture: str = "flux") -> bytes:
    """Return a valid GGUF (version 3) with one tensor of about `size` bytes."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    count = max(1, size // 4)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    head += text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    head += text("weight") + struct.pack("<IQIQ", 1, count, 0, 0)  # one dimension, type 0 = F32, offset 0
    return head + b"\0" * (-len(head) % 32) + noise(seed, count * 4)


def pickle_bytes(seed: str, *, size: int = 4096) -> bytes:
    """Return an archive laid out like a .ckpt or .pt: a zip with a harmless pickle and its storage."""
    out = io.BytesIO()
    members = {
        "archive/data.pkl": pickle.dumps({"state_dict": {"weight": [0.0, 1.0]}, "seed": seed}, protocol=2),
        "archive/data/0": noise(seed, size),
        "archive/version": b"3\n",
    }
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return out.getvalue()


def png_bytes(seed: str, *, width: int = 64, height: int = 96) -> bytes:
    """Return a small PNG of one colour, for previews."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + noise(seed, 3) * width
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * height, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_bytes(seed: str) -> bytes:
    """Return a JPEG of one grey pixel, with the seed in a comment."""
    words = seed.encode()
    comment = b"\xff\xfe" + struct.pack(">H", len(words) + 2) + words
    return _JPEG[:2] + comment + _JPEG[2:]


def mp4_bytes(seed: str) -> bytes:
    """Return the boxes of a film without any image in it."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + kind + body

    return box(b"ftyp", b"isom\0\0\2\0isommp41") + box(b"free", seed.encode()) + box(b"mdat", noise(seed, 256))


def noise(seed: str, size: int) -> bytes:
    """Return `size` bytes that look random and depend on the seed alone."""
    return _kept_noise(seed, size) if size <= _KEPT else _noise(seed, size)


def _noise(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


#: Longer ones (bytes) are made anew each time. A process that fills many hubs makes the catalogue's files once.
_KEPT = 64 * 1024
_kept_noise = functools.lru_cache(maxsize=256)(_noise)

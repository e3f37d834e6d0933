"""The safetensors header, checked as its specification says.

Format: 8 bytes little-endian header length, a JSON header, then the tensors' data without holes
(github.com/huggingface/safetensors, README "Format").
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_HEADER = 100_000_000  # bytes; the reference implementation's own limit
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
_MAX_DIMENSIONS = 64  # torch and numpy end there too


def header_length(first: bytes, file_size: int) -> int:
    """The length of the header in bytes, from the file's first 8; raises ValueError if it cannot be one."""
    if len(first) < 8:
        raise ValueError("shorter than 8 bytes")
    length = int.from_bytes(first[:8], "little")
    if length > MAX_HEADER:
        raise ValueError(f"a header of {length} bytes")
    if length < 2 or 8 + length > file_size:
        raise ValueError(f"a header of {length} bytes in a file of {file_size}")
    return length


def check_header(data: bytes, file_size: int) -> None:
    """Check a header (`data`: the length's 8 bytes and the header) against the size of its file.

    Raises ValueError: not JSON, a name twice, a tensor that misses its data, holes, overlaps, bytes left over.
    """
    length = header_length(data[:8], file_size)
    if len(data) < 8 + length:
        raise ValueError("the header is cut off")
    raw = data[8 : 8 + length]
    if not raw.startswith(b"{"):
        raise ValueError("the header does not begin with `{`")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    spans = [_span(name, value) for name, value in header.items() if name != "__metadata__"]
    _check_metadata(header.get("__metadata__"))
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise ValueError("tensors overlap or leave a hole")
        end = stop
    if 8 + length + end != file_size:
        raise ValueError(f"the header describes {8 + length + end} bytes, the file has {file_size}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice in the header")
    return found


def _check_metadata(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("`__metadata__` is not a table of strings")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _span(name: str, value: Any) -> tuple[int, int]:
    """Where a tensor's data lie; raises ValueError unless dtype, shape and offsets agree."""
    if not isinstance(value, dict):
        raise ValueError(f"tensor {name!r} is not a table")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or not isinstance(shape, list) or not all(map(_is_size, shape)):
        raise ValueError(f"tensor {name!r} has no valid dtype and shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise ValueError(f"tensor {name!r} has no valid data_offsets")
    start, stop = offsets
    if stop < start:
        raise ValueError(f"tensor {name!r} ends before it begins")
    if len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"tensor {name!r} has {len(shape)} dimensions")
    bits = _BITS.get(dtype)  # an unknown dtype is a newer one: its size cannot be checked
    if bits is not None and (stop - start) * 8 != bits * math.prod(shape):
        raise ValueError(f"tensor {name!r}: {stop - start} bytes do not fit its shape")
    return start, stop

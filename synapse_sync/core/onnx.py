"""The outline of an ONNX file: the top-level fields of its protocol buffer, without the graph inside.

Format: `ModelProto` of github.com/onnx/onnx, onnx.proto; encoding: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Callable

_VARINT, _BYTES = 0, 2
_GRAPH = 7
#: The wire type of each field of `ModelProto`.
_FIELDS = {1: _VARINT, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _VARINT, 6: _BYTES, 7: _BYTES, 8: _BYTES,
           14: _BYTES, 20: _BYTES, 25: _BYTES, 26: _BYTES}  # fmt: skip
_MAX_FIELDS = 10_000
#: The first field of all exporters is the version of the format, a small number.
_IR_VERSION, _NEWEST = 1, 255


def outline(size: int, read: Callable[[int, int], bytes]) -> str | None:
    """Judge a file of `size` bytes as a `ModelProto`: "whole", "cut", or None if it is none.

    `read(start, count)` returns up to that many bytes of the file.
    """
    at = 0
    graph = versioned = False
    for _ in range(_MAX_FIELDS):
        if at == size:
            return "whole" if graph else None
        head = read(at, 20)
        tag, width = _varint(head, 0)
        if width == 0 or _FIELDS.get(tag >> 3) != tag & 7:
            return None
        value, more = _varint(head, width)
        if more == 0:
            return None
        versioned = versioned or (at == 0 and tag >> 3 == _IR_VERSION and value <= _NEWEST)
        graph = graph or tag >> 3 == _GRAPH
        at += width + more + (value if tag & 7 == _BYTES else 0)
        if at > size:
            # Other bytes may agree with a tag by chance; after a version they hardly agree with a second one.
            return "cut" if versioned else None
    return None


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """A variable-length number and its width in bytes; the width is 0 if the bytes are none."""
    value = 0
    for index in range(10):
        if start + index >= len(data):
            return 0, 0
        byte = data[start + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, index + 1
    return 0, 0

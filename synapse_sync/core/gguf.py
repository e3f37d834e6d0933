"""The GGUF header, walked far enough to see whether the file holds all tensors that it lists.

Format: magic, version, counts, metadata, tensor infos, padding, data (github.com/ggml-org/ggml, docs/gguf.md). All
numbers are little-endian, or big-endian where the version number shows it.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Literal

#: Values and bytes of one block of each tensor type (ggml.h, `ggml_type`). Types that are not listed are newer.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17),
}  # fmt: skip
#: The name of each tensor type (ggml.h), for the types that files of weights use.
TYPE_NAMES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
#: How `struct` spells the metadata types of a fixed size.
_SPELLED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
#: The pairs and tensors that are kept of a header, their longest names, and the longest text, in characters.
_MAX_PAIRS, _MAX_TENSORS, _MAX_NAME, _MAX_TEXT = 10_000, 50_000, 250, 4_000
#: Bytes of the metadata types of a fixed size; 8 is a string, 9 an array.
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_ALIGNMENT = b"general.alignment"
_MAX_DIMENSIONS = 8  # ggml itself has four
_MAX_DEPTH = 8
#: The most strings in one header, and the most pairs, tensors and arrays in arrays together. Large vocabularies
#: have 300,000 words and twice that many merges. Without limits, a header costs half a minute.
_MAX_STRINGS, _MAX_ITEMS = 4_000_000, 500_000


class Longer(Exception):
    """The header goes on beyond the bytes that were passed."""


def check_gguf(data: bytes, file_size: int) -> None:
    """Check the beginning of a GGUF file (`data`) against the size of the file in bytes.

    Raises `ValueError` for a header that cannot be one, and for a file that ends before its tensors do. Raises
    `Longer` when more bytes are needed than `data` has.
    """
    if file_size < 24:
        raise ValueError(f"it ends after {file_size} bytes, within its header")
    walk = _Walk(data, file_size)
    tensors, pairs = walk.count(), walk.count()
    walk.check_items(tensors + pairs)
    alignment = 32
    for _ in range(pairs):
        key = walk.string()
        kind = walk.number(4)
        at = walk.at
        walk.skip_value(kind)
        if key == _ALIGNMENT and kind == 4:
            alignment = walk.number_at(at, 4)
    if not 0 < alignment <= 1 << 20:
        raise ValueError("its alignment cannot be one")
    end = 0
    for _ in range(tensors):
        end = max(end, walk.tensor())
    start = -(-walk.at // alignment) * alignment
    if tensors and start + end > file_size:
        raise ValueError(f"its header lists {start + end} bytes, the file has {file_size}")


@dataclass(slots=True)
class Outline:
    """The facts in the beginning of a GGUF file.

    `metadata` maps keys to texts: numbers and short lists of numbers as Python writes them. `tensors` maps names to
    the type and the sizes, outermost first as in torch (GGUF itself lists them innermost first). `whole` is False
    if the header goes on beyond the bytes that were passed.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    whole: bool = False


def read_gguf(data: bytes, file_size: int) -> Outline:
    """Read the metadata and the tensors that `data`, the beginning of a GGUF file, lists.

    `file_size` is in bytes. Raises `ValueError` for a header that cannot be one.
    """
    if file_size < 24:
        raise ValueError(f"it ends after {file_size} bytes, within its header")
    walk, outline = _Walk(data, file_size), Outline()
    try:
        tensors, pairs = walk.count(), walk.count()
        walk.check_items(tensors + pairs)
        for _ in range(pairs):
            key, kind = walk.text(_MAX_NAME), walk.number(4)
            value = walk.value(kind)
            if key is not None and value is not None and len(outline.metadata) < _MAX_PAIRS:
                outline.metadata[key] = value
        for _ in range(tensors):
            name, found = walk.text(_MAX_NAME), walk.shape()
            if name is not None and len(outline.tensors) < _MAX_TENSORS:
                outline.tensors[name] = found
    except Longer:
        return outline
    outline.whole = True
    return outline


class _Walk:
    """A position in the header that only moves forward. Every step fails at the file's end."""

    def __init__(self, data: bytes, file_size: int) -> None:
        self._data = data
        self._size = file_size
        version = int.from_bytes(data[4:8], "little")
        self._order: Literal["little", "big"] = "big" if version > 0xFFFF else "little"
        if self._order == "big":
            version = int.from_bytes(data[4:8], "big")
        #: Version 1 counted in 32 bits.
        self._wide = 4 if version == 1 else 8
        self.at = 8
        self._strings = self._items = 0

    def _move(self, count: int) -> int:
        start = self.at
        if start + count > self._size:
            raise ValueError("it ends within its header")
        if start + count > len(self._data):
            raise Longer
        self.at = start + count
        return start

    def number(self, width: int) -> int:
        return self.number_at(self._move(width), width)

    def number_at(self, start: int, width: int) -> int:
        return int.from_bytes(self._data[start : start + width], self._order)

    def count(self) -> int:
        """A number of things, each of which takes at least a byte of the file."""
        count = self.number(self._wide)
        if count > self._size:
            raise ValueError("its header lists more than the file can hold")
        return count

    def string(self) -> bytes:
        length = self.count()
        start = self._move(length)
        return self._data[start : start + min(length, 64)]

    def text(self, limit: int) -> str | None:
        """The next string, cut to `_MAX_TEXT` characters; None if it is longer than `limit` bytes."""
        length = self.count()
        start = self._move(length)
        if length > limit:
            return None
        return self._data[start : start + length].decode("utf-8", "replace")[:_MAX_TEXT]

    def value(self, kind: int) -> str | None:
        """The next value of the metadata as a text; None for one that is only moved over, like a vocabulary."""
        start = self.at
        if kind in _WIDTHS:
            return str(self._unpack(kind, 1, self._move(_WIDTHS[kind]))[0])
        if kind == _STRING:
            return self.text(8 * _MAX_TEXT)
        if kind == _ARRAY:
            inner, count = self.number(4), self.count()
            if inner in _WIDTHS and count <= _MAX_DIMENSIONS:
                return str(list(self._unpack(inner, count, self._move(_WIDTHS[inner] * count))))
            self.at = start
        self.skip_value(kind)
        return None

    def _unpack(self, kind: int, count: int, start: int) -> tuple[object, ...]:
        order = "<" if self._order == "little" else ">"
        return struct.unpack_from(f"{order}{count}{_SPELLED[kind]}", self._data, start)

    def shape(self) -> tuple[str, tuple[int, ...]]:
        """The type of the next tensor, and its sizes, outermost first. Its name was read before."""
        dimensions = self.number(4)
        if dimensions > _MAX_DIMENSIONS:
            raise ValueError(f"it has a tensor of {dimensions} dimensions")
        sizes = [self.number(self._wide) for _ in range(dimensions)]
        kind = self.number(4)
        self.number(8)
        return TYPE_NAMES.get(kind, f"type {kind}"), tuple(reversed(sizes))

    def check_items(self, count: int) -> None:
        """Raise `ValueError` if the header has more than the most items together with these."""
        self._items += count
        if self._items > _MAX_ITEMS:
            raise ValueError(f"its header lists more than {_MAX_ITEMS:,} items")

    def _skip_strings(self, count: int) -> None:
        """Move over an array of strings: the bulk of a header, so nothing is called for each."""
        self._strings += count
        if self._strings > _MAX_STRINGS:
            raise ValueError(f"its header has more than {_MAX_STRINGS:,} strings")
        at, data, wide, order = self.at, self._data, self._wide, self._order
        for _ in range(count):
            at += wide + int.from_bytes(data[at : at + wide], order)
            if at > len(data):
                break
        self._move(at - self.at)

    def skip_value(self, kind: int, depth: int = 0) -> None:
        if kind in _WIDTHS:
            self._move(_WIDTHS[kind])
        elif kind == _STRING:
            self.string()
        elif kind == _ARRAY and depth < _MAX_DEPTH:
            inner, count = self.number(4), self.count()
            if inner in _WIDTHS:
                self._move(_WIDTHS[inner] * count)
            elif inner == _STRING:
                self._skip_strings(count)
            else:
                self.check_items(count)
                for _ in range(count):
                    self.skip_value(inner, depth + 1)
        else:
            raise ValueError(f"its metadata has a value of the unknown type {kind}")

    def tensor(self) -> int:
        """The end of a tensor's data in bytes, counted from the start of all data."""
        self.string()
        dimensions = self.number(4)
        if dimensions > _MAX_DIMENSIONS:
            raise ValueError(f"it has a tensor of {dimensions} dimensions")
        values = math.prod(self.number(self._wide) for _ in range(dimensions))
        kind, offset = self.number(4), self.number(8)
        per, size = _BLOCKS.get(kind, (1, 0))  # of a newer type only the beginning is known
        return offset + -(-values // per) * size

"""The safetensors header, checked as its specification says, in a stream of bounded cost.

Format: 8 bytes little-endian header length, a JSON header, then the tensors' data without holes
(github.com/huggingface/safetensors, README "Format").
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

MAX_HEADER = 100_000_000  # bytes; the reference implementation's own limit
#: The most tensors and texts of metadata in one file. The largest models have some 100,000 tensors in many files;
#: without the limit, a header of the largest size costs a minute and a gigabyte.
MAX_NAMES = 500_000
#: The longest description of a tensor, and the longest text of the metadata, in characters.
MAX_TENSOR, MAX_TEXT = 1 << 16, 24 << 20
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
_MAX_DIMENSIONS = 64  # torch and numpy end there too
_MAX_SIZE = (1 << 63) - 1
#: The tensors and facts that are kept of a header, the longest of their names, the most axes of a tensor, and the
#: longest text, in characters. Real files have some thousand tensors with names of up to 150 characters.
_MAX_KEPT, _MAX_FACTS, _MAX_NAME, _MAX_AXES, _MAX_FACT = 50_000, 2_000, 250, 8, 20_000
#: Bytes of the header that are read at once.
WINDOW = 1 << 18
_OFFSETS = b'"data_offsets"'
_SPACES = " \t\r\n"
_SPACE = re.compile(rf"[{_SPACES}]*")
#: A name that needs no decoding, with the colon behind it.
_PLAIN_NAME = re.compile(rf'[{_SPACES}]*"([^"\\\x00-\x1f]*)"[{_SPACES}]*:')
_INTEGERS = {int}
_SIZE = "(?:0|[1-9][0-9]{0,17})"
#: The description of a tensor as every writer of this format writes it.
_USUAL = re.compile(
    rf'[{_SPACES}]*\{{"dtype": ?"([A-Z0-9_]{{1,16}})", ?"shape": ?\[((?:{_SIZE}(?:, ?{_SIZE})*)?)\], ?'
    rf'"data_offsets": ?\[({_SIZE}), ?({_SIZE})\]\}}'
)
#: Types and shapes by name, and one description: type, shape, and where the data begin and end.
Tensors = dict[str, tuple[str, tuple[int, ...]]]
Described = tuple[str, list[int], int, int]


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

    Raises ValueError like `check_safetensors`.
    """
    if len(data) < 8 + header_length(data[:8], file_size):
        raise ValueError("the header is cut off")
    check_safetensors(file_size, lambda start, count: data[start : start + count])


def check_safetensors(file_size: int, read: Callable[[int, int], bytes]) -> None:
    """Check the header of a file of `file_size` bytes; `read(start, count)` returns up to that many of its bytes.

    Raises ValueError: not JSON, a name twice, a tensor that misses its data, holes, overlaps, bytes left over, or
    more names than any model has.
    """
    _check(file_size, read, None)


def read_checked(file_size: int, read: Callable[[int, int], bytes]) -> tuple[Tensors, dict[str, str]]:
    """Read what `read_safetensors` reads, in the one pass that checks it. Raises like `check_safetensors`."""
    kept = _Kept()
    _check(file_size, read, kept)
    return kept.tensors, kept.metadata


def read_safetensors(file_size: int, read: Callable[[int, int], bytes]) -> tuple[Tensors, dict[str, str]]:
    """Read the types and shapes of all tensors by name, and the metadata, without looking at the offsets.

    Parameters like those of `check_safetensors`. Long names and tensors beyond `_MAX_KEPT` are left out, long texts
    are cut. Raises ValueError for a header that is no table of tensors.
    """
    length = header_length(read(0, 8), file_size)
    text = _Text(length, read)
    kept = _Kept()

    def member(name: str) -> None:
        if name == "__metadata__":
            _read_metadata(text, kept)
        elif (usual := text.tensor()) is not None:
            kept.tensor(name, usual[0], usual[1])
        else:
            value = text.value()
            if not isinstance(value, dict) or not isinstance(dtype := value.get("dtype"), str):
                raise ValueError(f"tensor {name[:200]!r} is not a table with a dtype")
            if not _is_sizes(shape := value.get("shape")):
                raise ValueError(f"tensor {name[:200]!r} has no valid shape")
            kept.tensor(name, dtype, shape)

    try:
        text.members(member)
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    return kept.tensors, kept.metadata


class _Kept:
    """The `tensors` and the `metadata` that are kept of a header."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.metadata: dict[str, str] = {}

    def tensor(self, name: str, dtype: str, shape: Sequence[int]) -> None:
        if len(name) <= _MAX_NAME and len(shape) <= _MAX_AXES and len(self.tensors) < _MAX_KEPT:
            self.tensors[name] = (dtype[:16], tuple(shape))

    def fact(self, name: str, value: str) -> None:
        if len(name) <= _MAX_NAME and len(self.metadata) < _MAX_FACTS:
            self.metadata[name] = value[:_MAX_FACT]


def _check(file_size: int, read: Callable[[int, int], bytes], kept: _Kept | None) -> None:
    """Check a header as `check_safetensors` does; `kept` receives what is in it."""
    length = header_length(read(0, 8), file_size)
    if read(8, 1) != b"{":
        raise ValueError("the header does not begin with `{`")
    _check_count(length, read)
    text = _Text(length, read)
    try:
        spans = _spans(text, kept)
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    spans.sort()
    end = 0
    for start, stop in spans:
        if start != end:
            raise ValueError("tensors overlap or leave a hole")
        end = stop
    if 8 + length + end != file_size:
        raise ValueError(f"the header describes {8 + length + end} bytes, the file has {file_size}")


def _check_count(length: int, read: Callable[[int, int], bytes]) -> None:
    """Refuse too many tensors before they are parsed, which costs a hundred times as much as to count them.

    Every tensor has this key. Within a text its quotation marks would have backslashes, so none is counted twice.
    """
    if length < MAX_NAMES * len(_OFFSETS):
        return
    starts = range(8, 8 + length, WINDOW)  # a key across two of them is not counted
    if sum(read(at, min(WINDOW, 8 + length - at)).count(_OFFSETS) for at in starts) > MAX_NAMES:
        raise _too_many()


def _too_many() -> ValueError:
    return ValueError(f"the header has more than {MAX_NAMES:,} names")


def _spans(text: _Text, kept: _Kept | None) -> list[tuple[int, int]]:
    """Where the data of all tensors are, in the order of the header."""
    spans: list[tuple[int, int]] = []
    faults: list[ValueError] = []

    def member(name: str) -> None:
        if name == "__metadata__":
            _read_metadata(text, kept)
            return
        usual = text.tensor()
        value = text.value() if usual is None else None
        try:
            dtype, shape, start, stop = usual or _described(name, value)
            _check_tensor(name, dtype, shape, start, stop)
        except ValueError as error:
            faults[1:] = [error]  # a header that is no JSON is reported first
            return
        spans.append((start, stop))
        if kept is not None:
            kept.tensor(name, dtype, shape)

    text.members(member)
    text.end()
    if faults:
        raise faults[0]
    return spans


def _read_metadata(text: _Text, kept: _Kept | None) -> None:
    def fact(name: str) -> None:
        value = text.string("`__metadata__` is not a table of strings")
        if kept is not None:
            kept.fact(name, value)

    if text.next_is("{"):
        text.members(fact)
    elif text.value() is not None:
        raise ValueError("`__metadata__` is not a table of strings")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice in the header")
    return found


class _Text:
    """A position in the JSON of a header, of which only a window is in memory.

    `length` is the length of the header in bytes. The window grows while a value does not end within it, up to the
    limit of that value.
    """

    def __init__(self, length: int, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._next, self._end = 8, 8 + length
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._window, self._at = "", 0
        self._names = 0
        self._scan = json.JSONDecoder(object_pairs_hook=_unique).raw_decode

    def members(self, member: Callable[[str], object]) -> None:
        """Read a table: `member` is called with each name and must read its value. Raises for a name twice."""
        self._expect("{", "Expecting a table")
        seen: set[bytes] = set()
        if self.next_is("}"):
            self._at += 1
            return
        while True:
            name = self._name()
            # Hazard: as text, a name with one rare character costs four bytes for each of its characters.
            key = name.encode("utf-8", "surrogatepass")
            if key in seen:
                raise ValueError("a name twice in the header")
            seen.add(key)
            self._names += 1
            if self._names > MAX_NAMES:
                raise _too_many()
            member(name)
            if not self.next_is(","):
                break
            self._at += 1
        self._expect("}", "Expecting ',' delimiter")

    def _name(self) -> str:
        """The next name of a table, and the colon behind it."""
        # A plain name costs one step: a hostile header has hundreds of thousands.
        match = _PLAIN_NAME.match(self._window, self._at)
        if match is not None and match.end() - self._at <= MAX_TENSOR:
            self._at = match.end()
            return match[1]
        name = self.string("Expecting property name enclosed in double quotes", MAX_TENSOR)
        self._expect(":", "Expecting ':' delimiter")
        return name

    def value(self) -> Any:
        """The next value, of at most `MAX_TENSOR` characters."""
        self._peek()
        return self._grown(MAX_TENSOR)

    def tensor(self) -> Described | None:
        """The next value, if it describes a tensor in the usual form; else None, and it is the next one still."""
        match = _USUAL.match(self._window, self._at)
        if match is None or match.end() - self._at > MAX_TENSOR:
            return None
        self._at = match.end()
        dtype, sizes, start, stop = match.groups()
        return dtype, [*map(int, sizes.split(","))] if sizes else [], int(start), int(stop)

    def string(self, otherwise: str, limit: int = MAX_TEXT) -> str:
        """The next string; raises ValueError with the words `otherwise` if something else follows."""
        if not self.next_is('"'):
            raise ValueError(otherwise)
        return str(self._grown(limit))

    def end(self) -> None:
        """Raise ValueError unless only white space is left."""
        if self._peek():
            raise ValueError("Extra data behind the header's table")

    def next_is(self, char: str) -> bool:
        """Whether the next character that is no white space is this one; it is not consumed."""
        return self._peek() == char

    def _expect(self, char: str, otherwise: str) -> None:
        if self._peek() != char:
            raise ValueError(otherwise)
        self._at += 1

    def _peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        char = self._window[self._at : self._at + 1]
        if char and char not in _SPACES:
            return char
        while True:
            match = _SPACE.match(self._window, self._at)
            self._at = self._at if match is None else match.end()
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._more():
                return ""

    def _grown(self, limit: int) -> Any:
        """Read a value of at most `limit` characters, with a larger window while it does not end in this one."""
        while True:
            try:
                value, end = self._scan(self._window, self._at)
            except json.JSONDecodeError as error:
                if len(self._window) - self._at > limit:
                    raise ValueError(f"{error.msg}, or longer than {limit:,} characters") from None
                if not self._more():
                    raise ValueError(error.msg) from None
                continue
            if end - self._at > limit:
                raise ValueError(f"a value longer than {limit:,} characters")
            self._at = end
            return value

    def _more(self) -> bool:
        """Read on; False at the end of the header."""
        if self._next >= self._end:
            return False
        rest = self._window[self._at :]
        # The window doubles: a long value is scanned a few times, not once a block.
        data = self._read(self._next, min(self._end - self._next, max(WINDOW, len(rest))))
        if not data:
            raise ValueError("the header is cut off")
        self._next += len(data)
        self._window, self._at = rest + self._decode(data, self._next >= self._end), 0
        return True


def _is_sizes(values: Any) -> TypeGuard[list[int]]:
    """Whether this is a list of sizes: whole numbers from 0 that fit into 63 bits."""
    if type(values) is not list:
        return False
    return not values or (set(map(type, values)) == _INTEGERS and min(values) >= 0 and max(values) <= _MAX_SIZE)


def _described(name: str, value: Any) -> Described:
    """The description of a tensor as JSON has it; raises ValueError for another value."""
    if not isinstance(value, dict):
        raise ValueError(f"tensor {name[:200]!r} is not a table")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or not _is_sizes(shape):
        raise ValueError(f"tensor {name[:200]!r} has no valid dtype and shape")
    if not _is_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name[:200]!r} has no valid data_offsets")
    return dtype, shape, offsets[0], offsets[1]


def _check_tensor(name: str, dtype: str, shape: Sequence[int], start: int, stop: int) -> None:
    """Raise ValueError unless the type, the shape and the offsets of a tensor agree."""
    if stop < start:
        raise ValueError(f"tensor {name[:200]!r} ends before it begins")
    if len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"tensor {name[:200]!r} has {len(shape)} dimensions")
    bits = _BITS.get(dtype)  # an unknown dtype is a newer one: its size cannot be checked
    if bits is not None and (stop - start) * 8 != bits * math.prod(shape):
        raise ValueError(f"tensor {name[:200]!r}: {stop - start} bytes do not fit its shape")

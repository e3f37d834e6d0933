"""Headers of safetensors files: real ones pass, and every kind of damage is named."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.content import kind_of
from synapse_sync.core.safetensors import MAX_HEADER, check_header, header_length


def packed(header: object, data: int = 0) -> tuple[bytes, int]:
    """A header as bytes, and the size of a file with so many bytes of data after it."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw, 8 + len(raw) + data


def tensor(start: int, stop: int, shape: list[Any] | None = None, dtype: str = "F16") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(stop - start) // 2] if shape is None else shape,
        "data_offsets": [start, stop],
    }


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({}, 0),
        (b"{}      ", 0),
        ({"__metadata__": {"format": "pt"}, "a": tensor(0, 4)}, 4),
        ({"__metadata__": None, "a": tensor(0, 4)}, 4),
        ({"b": tensor(4, 8), "a": tensor(0, 4)}, 8),
        ({"scalar": tensor(0, 2, []), "none": tensor(2, 2, [0, 7])}, 2),
        ({"half": tensor(0, 3, [2, 3], "F4"), "six": tensor(3, 6, [4], "F6_E2M3")}, 6),
        ({"new": tensor(0, 5, [1], "F5_OF_TOMORROW")}, 5),
        ({"a": {**tensor(0, 4), "note": "an unknown key"}}, 4),
        ({"ü/模型": tensor(0, 2, [1], "BF16")}, 2),
    ],
)
def test_valid(header: object, data: int) -> None:
    check_header(*packed(header, data))


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        (b" {}", 0, "does not begin"),
        (b"[1]", 0, "does not begin"),
        (b"{nonsense", 0, "Expecting"),
        (b'{"\xff": 1}', 0, "utf-8"),
        (b'{"a": {}, "a": {}}', 0, "twice"),
        (b'{"a": ' + b"[" * 200_000, 0, "deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", 0, "digits"),
        ({"__metadata__": {"a": 1}}, 0, "__metadata__"),
        ({"__metadata__": []}, 0, "__metadata__"),
        ({"a": []}, 0, "table"),
        ({"a": {}}, 0, "dtype"),
        ({"a": {"dtype": 1, "shape": [], "data_offsets": [0, 0]}}, 0, "dtype"),
        ({"a": tensor(0, 4, [-2])}, 4, "shape"),
        ({"a": tensor(0, 2, [True])}, 2, "shape"),
        ({"a": tensor(0, 4, [2.0])}, 4, "shape"),
        ({"a": tensor(0, 2, [1] * 65)}, 2, "dimensions"),
        ({"a": tensor(0, 4, [3])}, 4, "do not fit"),
        ({"a": tensor(0, 4, [2**62, 2**62])}, 4, "do not fit"),
        ({"a": {**tensor(0, 4), "data_offsets": [0]}}, 4, "data_offsets"),
        ({"a": {**tensor(0, 4), "data_offsets": [4, 0]}}, 4, "before it begins"),
        ({"a": tensor(0, 4), "b": tensor(2, 6)}, 6, "overlap"),
        ({"a": tensor(0, 4), "b": tensor(6, 8)}, 8, "hole"),
        ({"a": tensor(2, 4)}, 4, "hole"),
        ({"a": tensor(0, 4)}, 5, "the file has"),
        ({"a": tensor(0, 4)}, 3, "the file has"),
    ],
)
def test_damaged(header: object, data: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_header(*packed(header, data))


def test_truncated_header() -> None:
    data, size = packed({"a": tensor(0, 4)}, 4)
    with pytest.raises(ValueError, match="cut off"):
        check_header(data[:-1], size)


@pytest.mark.parametrize(
    ("first", "size", "words"),
    [
        (b"1234567", 7, "shorter"),
        (struct.pack("<Q", 10), 17, "in a file of 17"),
        (struct.pack("<Q", 1), 100, "in a file"),
        (struct.pack("<Q", MAX_HEADER + 1), 1 << 40, "a header of"),
    ],
)
def test_impossible_length(first: bytes, size: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        header_length(first, size)


def test_length() -> None:
    assert header_length(struct.pack("<Q", 10) + b"more", 18) == 10


@given(st.binary(max_size=200), st.integers(0, 300))
def test_only_value_errors_from_bytes(data: bytes, size: int) -> None:
    try:
        check_header(data, size)
    except ValueError:
        return
    assert size >= 10  # the smallest file that can be valid: a length and `{}`


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
_tensors = st.fixed_dictionaries(
    {}, optional={"dtype": _json | st.just("F32"), "shape": _json | st.just([1]), "data_offsets": _json}
)


@given(st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), _json | _tensors), st.integers(0, 20))
def test_only_value_errors_from_json(header: dict[str, Any], data: int) -> None:
    raw, size = packed(header, data)
    try:
        check_header(raw, size)
    except ValueError:
        return
    assert all(isinstance(value, dict) for name, value in header.items() if name != "__metadata__")


@pytest.mark.parametrize("name", ["model.safetensors", "model.int8.safetensors"])
def test_real_weights(name: str) -> None:
    spec = importlib.util.find_spec("fracast")  # found, not imported: that would load torch
    if spec is None or spec.origin is None:
        pytest.skip("fracast is not installed")
    path = Path(spec.origin).parent / "weights" / name
    data, size = path.read_bytes(), path.stat().st_size
    end = 8 + header_length(data[:8], size)
    check_header(data[:end], size)
    assert kind_of(data[:512]) == "safetensors"
    with pytest.raises(ValueError, match="the file has"):
        check_header(data[:end], size - 1)

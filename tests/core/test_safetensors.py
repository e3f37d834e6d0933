"""Headers of safetensors files: real ones pass, and every kind of damage is named."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.content import kind_of
from synapse_sync.core.safetensors import (
    MAX_HEADER,
    MAX_NAMES,
    MAX_TEXT,
    check_header,
    header_length,
    read_checked,
    read_safetensors,
)


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


@pytest.mark.parametrize("window", [1, 2, 7, 64])
def test_where_the_blocks_end_makes_no_difference(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synapse_sync.core.safetensors.WINDOW", window)
    metadata = {"format": "pt", "ü/模型 😀": '"quoted" \\ 😀' * 9, "e": ""}
    names = [f"block.{number}.ü😀\n" for number in range(40)]
    table = {name: tensor(4 * at, 4 * at + 4) for at, name in enumerate(names)}
    for ascii_only in (True, False):
        raw = json.dumps({"__metadata__": metadata, **table}, ensure_ascii=ascii_only, indent=1).encode() + b"  "
        check_header(*packed(raw, 160))
        with pytest.raises(ValueError, match="the file has"):
            check_header(*packed(raw, 161))
        for end in range(0, len(raw) - 3, 37):
            with pytest.raises(ValueError):
                check_header(*packed(raw[:end] if end else b"{", 160))


def _numbered(form: bytes) -> bytes:
    """More members than any model has, each with its number in it."""
    return b",".join(form % number for number in range(MAX_NAMES + 1))


#: Headers that cost nothing to make and much to read; each is made by the test that needs it.
COSTLY: dict[str, tuple[Callable[[], bytes], str]] = {
    "nested": (lambda: b'{"a":' + b"[[]," * 40_000 + b"1" + b"]" * 40_000 + b"}", "longer than"),
    "long list": (lambda: b'{"a":{"x":[' + b"[]," * 2_000_000 + b"[]]}}", "longer than"),
    "long value": (lambda: b'{"a":{"x":"' + b"x" * 70_000 + b'"}}', "longer than"),
    "long name": (lambda: b'{"' + b"x" * 1_000_000 + b'":{}}', "longer than"),
    "long text": (lambda: b'{"__metadata__":{"a":"' + b"x" * (MAX_TEXT + 9) + b'"}}', "longer than"),
    "texts": (lambda: b'{"__metadata__":{' + _numbered(b'"%d":""') + b"}}", "names"),
    "names": (lambda: b"{" + _numbered(b'"%d":{}') + b"}", "names"),
    "tensors": (
        lambda: b"{" + _numbered(b'"%d":{"dtype":"U8","shape":[' + b"1," * 20 + b'1],"data_offsets":[0,1]}') + b"}",
        "names",
    ),
    "honest text": (lambda: b'{"__metadata__":{"a":"' + b"x" * 5_000_000 + b'"},"b":{}}', "dtype"),
    "space": (lambda: b"{" + b" " * 20_000_000 + b'"b":{}}', "dtype"),
}

#: Checks a header, and prints its error, the seconds of the processor and the bytes by which memory grew at most.
#: In a process of its own: there the system knows the peak, and to trace it costs several times the work.
MEASURE = """
import re, sys, time, tracemalloc
from pathlib import Path
from synapse_sync.core.safetensors import check_header

status = Path("/proc/self/status")

def peak():
    if not status.exists():
        return tracemalloc.get_traced_memory()[1]
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text("ascii"))[1]) << 10

data = Path(sys.argv[1]).read_bytes()
if not status.exists():
    tracemalloc.start()
before, start = peak(), time.process_time()
try:
    check_header(data, len(data))
except ValueError as error:
    print(error)
print(time.process_time() - start, peak() - before)
"""


@pytest.mark.parametrize("kind", COSTLY)
def test_a_header_that_is_large_for_its_own_sake_costs_little(tmp_path: Path, kind: str) -> None:
    make, words = COSTLY[kind]
    path = tmp_path / "model.safetensors"
    path.write_bytes(packed(make())[0])
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True)
    said = re.fullmatch(r"(.+)\n(\S+) (\d+)\n", done.stdout, re.DOTALL)
    assert said and re.search(f"{words}|deeply", said[1])
    assert int(said[3]) < 150 << 20
    assert float(said[2]) < (10 if Path("/proc/self/status").exists() else 20)  # tracing makes it slower


def test_too_many_tensors_are_counted_before_they_are_parsed() -> None:
    many = b",".join([b'"same":{"data_offsets":[0,1],"more":"%s"}' % (b"x" * 20)] * (MAX_NAMES + 1_000))
    with pytest.raises(ValueError, match="more than 500,000 names"):
        check_header(*packed(b"{" + many + b"}", 1))


def test_the_key_of_the_offsets_in_a_text_is_not_counted() -> None:
    check_header(*packed({"__metadata__": {"note": '"data_offsets"' * (MAX_NAMES + 1_000)}, "a": tensor(0, 2)}, 2))


def test_large_honest_headers_pass() -> None:
    many = {f"layer.{number}.weight": tensor(2 * number, 2 * number + 2) for number in range(50_000)}
    check_header(*packed({"__metadata__": {"workflow": "ü" * 4_000_000}, **many}, 100_000))


_NUMBERS = st.sampled_from(["0", "1", "2", "12", "01", "-1", "1.0", "1e0", "true", '"2"', "9" * 17, "9" * 19, ""])
_DTYPES = st.sampled_from(["F16", "F4", "NEW_1", "f16", "F-16", "", "X" * 40, "F1\\u0036"])


@given(
    st.lists(st.tuples(_DTYPES, st.lists(_NUMBERS, max_size=3), st.lists(_NUMBERS, min_size=1, max_size=3))),
    st.sampled_from([",", ", ", " ,", ",  "]),
    st.sampled_from([":", ": ", " :"]),
)
def test_a_description_in_the_usual_form_is_judged_like_any_other(
    described: list[tuple[str, list[str], list[str]]], comma: str, colon: str
) -> None:
    """The same descriptions with one more key, which no writer writes, have the same faults."""

    def fault(more: str) -> str | None:
        members = (
            f'"{number}"{colon}{{"dtype"{colon}"{dtype}"{comma}"shape"{colon}[{comma.join(shape)}]{comma}'
            f'"data_offsets"{colon}[{comma.join(offsets)}]{more}}}'
            for number, (dtype, shape, offsets) in enumerate(described)
        )
        data, size = packed(f"{{{comma.join(members)}}}".encode(), 2)
        try:
            check_header(data, size)
        except ValueError as error:
            return re.sub(r"\d+", "", str(error))  # such as the sizes of the header and of the file
        return None

    assert fault("") == fault(f'{comma}"more"{colon}0')


def test_what_is_checked_is_what_is_read() -> None:
    table = {
        "__metadata__": {"format": "pt", "n" * 300: "", "long": "x" * 50_000},
        "a": tensor(0, 12, [2, 3]),
        "b": {**tensor(12, 16), "note": 1},
        "n" * 300: tensor(16, 18),
        "deep": tensor(18, 20, [1] * 20),
    }
    data, size = packed(table, 20)

    def read(start: int, count: int) -> bytes:
        return data[start : start + count]

    assert read_checked(size, read) == read_safetensors(size, read)
    assert read_checked(size, read)[0] == {"a": ("F16", (2, 3)), "b": ("F16", (2,))}
    with pytest.raises(ValueError, match="the file has"):
        read_checked(size + 1, read)

"""Headers of files of weights: both formats are read, damage is named, and hostile ones cost little."""

from __future__ import annotations

import json
import pickle
import struct
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.content import identify as content_of
from synapse_sync.core.weights.header import Header, read_content, read_header
from synapse_sync.core.weights.identify import identify


def reading(data: bytes, size: int | None = None) -> Header | None:
    return read_header(len(data) if size is None else size, lambda start, count: data[start : start + count])


def safetensors(table: object) -> bytes:
    raw = json.dumps(table).encode()
    return struct.pack("<Q", len(raw)) + raw


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(pairs: dict[str, tuple[int, bytes]], tensors: dict[str, tuple[int, list[int]]], order: str = "<") -> bytes:
    data = b"GGUF" + struct.pack(f"{order}IQQ", 3, len(tensors), len(pairs))
    for key, (kind, value) in pairs.items():
        data += text(key) + struct.pack(f"{order}I", kind) + value
    for name, (kind, sizes) in tensors.items():
        data += text(name) + struct.pack(f"{order}I{len(sizes)}Q", len(sizes), *sizes)
        data += struct.pack(f"{order}IQ", kind, 0)
    return data


def test_safetensors() -> None:
    table = {
        "__metadata__": {"format": "pt", "long": "x" * 50_000},
        "a.weight": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, 24]},
        "n" * 300: {"dtype": "F32", "shape": [], "data_offsets": [24, 28]},
        "deep": {"dtype": "F32", "shape": [1] * 20, "data_offsets": [28, 32]},
    }
    found = reading(safetensors(table), 1 << 40)
    assert found is not None
    assert dict(found.tensors) == {"a.weight": ("BF16", (3, 4))}
    assert found.metadata["format"] == "pt"
    assert len(found.metadata["long"]) == 20_000


def test_gguf() -> None:
    pairs = {
        "general.architecture": (8, text("flux")),
        "general.file_type": (4, struct.pack("<I", 14)),
        "tokens": (9, struct.pack("<IQ", 8, 3) + text("a") + text("b") + text("c")),
        "comfy.gguf.orig_shape.w": (9, struct.pack("<IQ", 5, 2) + struct.pack("<2i", 320, 9)),
        "rope": (6, struct.pack("<f", 0.5)),
    }
    found = reading(gguf(pairs, {"w": (12, [9, 320]), "new": (999, [1])}))
    assert found is not None
    assert found.format == "gguf"
    assert found.tensors == {"w": ("Q4_K", (320, 9)), "new": ("type 999", (1,))}
    assert found.metadata == {
        "general.architecture": "flux", "general.file_type": "14", "rope": "0.5",
        "comfy.gguf.orig_shape.w": "[320, 9]",
    }  # fmt: skip


def test_a_beginning_of_a_gguf_file_says_its_architecture() -> None:
    whole = gguf(
        {"general.architecture": (8, text("wan"))}, {"w" * 100: (0, [4])} | {f"w{n}": (0, [4]) for n in range(50)}
    )
    found = reading(whole[:400], len(whole))
    assert found is not None
    assert found.metadata == {"general.architecture": "wan"}
    assert 0 < len(found.tensors) < 51


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + b"0" * 60, b"\x80\x02}q\x00.", b"12345678[]"])
def test_other_formats_have_no_header(data: bytes) -> None:
    assert reading(data) is None


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (safetensors({"a": {"dtype": "F16", "shape": [1]}})[:-4], None),
        (safetensors({"a": {"shape": [1]}}), None),
        (safetensors({"a": {"dtype": "F16", "shape": [-1]}}), None),
        (safetensors({"a": {"dtype": "F16", "shape": 3}}), None),
        (safetensors({"__metadata__": {"a": 1}}), None),
        (struct.pack("<Q", 30) + b'{"a": ' + b"[" * 24, None),
        (b"GGUF" + b"\0" * 4, None),
        (gguf({}, {"w": (0, [1] * 9)}), None),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 40), 1 << 50),
    ],
)
def test_damage_is_an_error(data: bytes, size: int | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        reading(data, size)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_only_value_errors_from_bytes(data: bytes, size: int) -> None:
    for beginning in (b"", b"GGUF\x03\0\0\0", struct.pack("<Q", 40) + b"{"):
        try:
            found = reading(beginning + data, size)
        except ValueError:
            continue
        if found is not None:
            identify(found)


def test_hostile_names_cost_little() -> None:
    """Names that all differ, as long and as deep as a header may have them."""
    tensors = ",".join(
        f'"{".".join(str(number * part % 977) + chr(97 + part) for part in range(1, 40))}{number}"'
        ':{"dtype":"F16","shape":[1],"data_offsets":[0,2]}'
        for number in range(15_000)
    )
    raw = b"{" + tensors.encode() + b"}"
    data = struct.pack("<Q", len(raw)) + raw
    tracemalloc.start()
    start = time.process_time()
    found = reading(data)
    assert found is not None
    identify(found)
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 << 20
    assert seconds < 15  # measured with tracemalloc, which multiplies it


@pytest.mark.parametrize(
    "data",
    [
        safetensors({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}) + b"1234",
        safetensors({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}),
        gguf({"general.architecture": (8, text("flux"))}, {"a": (0, [32])}) + bytes(256),
        b"GGUF",
        pickle.dumps({"a": 1}, 2),
        pickle.dumps({"a": 1}, 2)[:-1],
        b"words",
        b"",
        b"PK\x03\x04",
        bytes(8) + b"{",
    ],
)
def test_content_and_header_are_those_of_two_looks(data: bytes) -> None:
    def read(start: int, count: int) -> bytes:
        return data[start : start + count]

    content, found = read_content(len(data), read)
    assert content == content_of(len(data), read)
    assert found == (read_header(len(data), read) if content.is_weights else None)

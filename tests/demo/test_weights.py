"""The demo's weights are genuine files of their kinds, and the same in every run."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib

import pytest

from synapse_sync.core.content import Content, identify_bytes
from synapse_sync.core.safetensors import check_header
from synapse_sync.demo import weights


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F8_E4M3"])
@pytest.mark.parametrize("tensors", [0, 1, 7])
def test_a_safetensors_file_passes_our_own_check(dtype: str, tensors: int) -> None:
    data = weights.safetensors_bytes("s", tensors=tensors, size=10_000, dtype=dtype, metadata={"format": "pt"})
    length = int.from_bytes(data[:8], "little")
    check_header(data[: 8 + length], len(data))
    assert length % 8 == 0, "the data is aligned, as the reference writer has it"
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "pt"}
    assert len(header) == tensors
    ends = [0, *(entry["data_offsets"][1] for entry in header.values())]
    assert ends == sorted(ends)
    assert 8 + length + ends[-1] == len(data)
    assert identify_bytes(data) == Content("safetensors")


def test_a_table_of_tensors_is_written_as_given() -> None:
    data = weights.safetensors_bytes("s", tensors={"a": ("F16", (2, 3)), "b": ("I64", ())})
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header == {
        "a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [12, 20]},
    }


def test_a_damaged_header_does_not_pass() -> None:
    data = bytearray(weights.safetensors_bytes("s"))
    data[8] = ord("[")
    with pytest.raises(ValueError):
        check_header(bytes(data), len(data))


def test_a_gguf_says_what_it_holds() -> None:
    data = weights.gguf_bytes("g", size=400)
    assert struct.unpack("<4sIQQ", data[:24]) == (b"GGUF", 3, 1, 1)
    assert data.endswith(weights.noise("g", 400))
    assert (len(data) - 400) % 32 == 0
    assert identify_bytes(data) == Content("gguf")


def test_a_pickle_is_a_harmless_archive() -> None:
    data = weights.pickle_bytes("p", size=100)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert pickle.loads(archive.read("archive/data.pkl"))["seed"] == "p"
        assert archive.read("archive/data/0") == weights.noise("p", 100)
    assert identify_bytes(data) == Content("pickle")


def test_an_image_holds_its_pixels() -> None:
    data = weights.png_bytes("x", width=5, height=7)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (5, 7)
    length = int.from_bytes(data[33:37], "big")
    assert (data[37:41], len(zlib.decompress(data[41 : 41 + length]))) == (b"IDAT", 7 * (1 + 5 * 3))


def test_the_seed_decides_and_nothing_else() -> None:
    makers = (weights.safetensors_bytes, weights.gguf_bytes, weights.pickle_bytes, weights.png_bytes)
    for maker in makers:
        assert maker("a") == maker("a")
        assert maker("a") != maker("b")

"""What some bytes are: one function, asked with good files, with their beginnings, and with everything else."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import costing

from synapse_sync.core.content import HEAD, Content, identify, identify_bytes, kind_of
from synapse_sync.demo.weights import gguf_bytes, jpeg_bytes, noise, pickle_bytes, png_bytes, safetensors_bytes

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0f" * 32 + b"\nsize 1234\n"


def packed_field(number: int, body: bytes) -> bytes:
    length, out = len(body), bytearray([number << 3 | 2])
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(out) + bytes([length]) + body


def onnx_bytes(seed: str, size: int = 9000) -> bytes:
    """The outline of an exported model: version, producer, graph, set of operators."""
    return (
        b"\x08\x08"
        + packed_field(2, b"pytorch")
        + packed_field(7, noise(seed, size))
        + packed_field(8, b"\x10\x11")
    )


def zip_bytes(*members: str, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in members:
            archive.writestr(name, noise(name, 3000))
        archive.comment = comment
    return out.getvalue()


def gguf_of(
    *tensors: tuple[str, int, tuple[int, ...], int], data: int, extra: bytes = b"", pairs: int = 0
) -> bytes:
    """A GGUF file: tensors as (name, type, dimensions, offset), then `data` bytes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), pairs) + extra
    for name, kind, shape, offset in tensors:
        head += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", value) for value in shape) + struct.pack("<IQ", kind, offset)
    return head + b"\0" * (-len(head) % 32) + noise("g", data)


OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03." + noise("old", 5000)
GOOD = {
    "safetensors": [safetensors_bytes("a"), safetensors_bytes("b", size=200_000)],
    "gguf": [gguf_bytes("a"), gguf_of(("w", 12, (512,), 0), ("v", 0, (4,), 288), data=304)],
    "onnx": [onnx_bytes("a"), onnx_bytes("b", 200_000)],
    "pickle": [pickle_bytes("a"), pickle.dumps({"a": list(range(5000))}, 2), OLD_TORCH, zip_bytes("x/data.pkl")],
    "zip": [zip_bytes("a.safetensors"), zip_bytes("a", "b", comment=b"by hand " * 500), zip_bytes()],
    "archive": [gzip.compress(noise("z", 500)), bz2.compress(noise("z", 500)), lzma.compress(noise("z", 500))],
    "program": [b"#!/bin/sh\n", b"MZ" + bytes(90), b"\x7fELF" + bytes(90), b"\xca\xfe\xba\xbe\0\0\0\2" + bytes(90)],
    "lfs-pointer": [POINTER, b"version https://hawser.github.com/spec/v1\noid sha256:00\nsize 1\n"],
    "html": [b"\n <!DOCTYPE html><html>", b"\xef\xbb\xbf<HTML lang=en>", b"<Error><Code>NoSuchKey</Code>"],
    "json": [b' {"error": "no such model"}', b"[1, 2]", b"\xef\xbb\xbf" + json.dumps(["x"] * 9000).encode()],
    "text": [
        b"Too Many Requests", b"red hair\r\nblue eyes\n" * 900, "眼睛\n".encode() * 2000,
        "眼睛\n".encode("gb18030") * 9,
        "Größe\n".encode("utf-16"), b"<3 this model", b"12345678{", b"\x1b[31mred\x1b[0m\n",
    ],
    "image": [png_bytes("p"), jpeg_bytes("j"), b"RIFF\x10\0\0\0WEBPVP8 "],
    "empty": [b""],
    "unknown": [bytes(512), noise("u", 5000), b"\x08\x07onnx", b"words " * 1000 + bytes(5000)],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "data"), [(kind, data) for kind, files in GOOD.items() for data in files])
def test_whole_files_are_what_they_are(kind: str, data: bytes) -> None:
    assert identify_bytes(data) == Content(kind)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    "data",
    [
        *GOOD["safetensors"], *GOOD["gguf"], *GOOD["onnx"], GOOD["pickle"][0], GOOD["pickle"][1], *GOOD["zip"][:2],
        lzma.compress(noise("z", 500)),
    ],
)  # fmt: skip
def test_a_file_that_was_cut_off_is_no_whole_one(data: bytes, share: float) -> None:
    cut = data[: max(8, int(len(data) * share))]
    found = identify_bytes(cut)
    assert found.fault is not None or found.kind == "unknown", found


@pytest.mark.parametrize("stump", [b"GGUF", b"PK\x03\x04", b"\x80\x02", b"\x1f\x8b\x08", b"7z\xbc\xaf\x27\x1c\0\4"])
def test_a_magic_number_alone_is_no_file(stump: bytes) -> None:
    assert identify_bytes(stump).fault is not None


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "pickle"),
        (b"(dp0\nS'a'\np1\n", "pickle"),
        (b"\x80\x02}q\x00", "pickle"),
        (b"PK\x03\x04rest", "zip"),
        (b"\x1f\x8b\x08", "archive"),
        (b"GGUF\x03\x00\x00\x00", "gguf"),
        (struct.pack("<Q", 0x0280) + b"{" + b" " * 99, "safetensors"),  # its first two bytes are those of a pickle
        (b"", "unknown"),
    ],
)
def test_the_first_bytes_show_the_kind(first: bytes, kind: str) -> None:
    assert kind_of(first) == kind


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (gguf_of(("w", 0, (64,), 0), data=255), "its header lists"),
        (gguf_of(("w", 12, (512,), 0), data=287), "its header lists"),
        (gguf_of(("w", 999, (512,), 4096), data=100), "its header lists"),  # a newer type: only where it begins
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0) + bytes(100), "more than the file can hold"),
        (gguf_of(pairs=1, data=64, extra=struct.pack("<Q", 1) + b"k" + struct.pack("<I", 77)), "unknown type 77"),
        (gguf_of(("w", 0, (1,) * 9, 0), data=64), "9 dimensions"),
    ],
)
def test_a_gguf_header_that_cannot_be_right(data: bytes, fault: str) -> None:
    assert fault in (identify_bytes(data).fault or "")


def test_gguf_of_other_versions_and_byte_orders() -> None:
    first = b"GGUF" + struct.pack("<III", 1, 1, 0) + struct.pack("<I", 1) + b"w" + struct.pack("<IIIQ", 1, 8, 0, 0)
    first += b"\0" * (-len(first) % 32)
    assert identify_bytes(first + bytes(32)) == Content("gguf")
    assert identify_bytes(first + bytes(31)).fault is not None
    swapped = (
        b"GGUF" + struct.pack(">IQQ", 3, 1, 0) + struct.pack(">Q", 1) + b"w" + struct.pack(">IQIQ", 1, 8, 0, 0)
    )
    swapped += b"\0" * (-len(swapped) % 32)
    assert identify_bytes(swapped + bytes(32)) == Content("gguf")
    assert identify_bytes(swapped + bytes(31)).fault is not None


def test_gguf_metadata_of_every_kind_is_passed_over() -> None:
    def pair(key: str, kind: int, value: bytes) -> bytes:
        return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value

    words = struct.pack("<IQ", 8, 2) + b"".join(struct.pack("<Q", 70) + b"x" * 70 for _ in range(2))
    nested = struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 5, 3) + bytes(12)
    extra = pair("a", 7, b"\1") + pair("b", 9, words) + pair("c", 9, nested) + pair("d", 12, bytes(8))
    extra += pair("general.alignment", 4, struct.pack("<I", 64))
    data = gguf_of(("w", 0, (8,), 0), data=0, extra=extra, pairs=5)
    data += b"\0" * (-len(data) % 64) + bytes(32)
    assert identify_bytes(data) == Content("gguf")
    assert identify_bytes(data[:-1]).fault is not None


def test_little_of_a_large_file_is_read() -> None:
    """Whatever the size: the beginning, the end, and the header that the beginning announces."""
    for data in (safetensors_bytes("l", size=3 << 20), onnx_bytes("l", 3 << 20), noise("l", 3 << 20)):
        read = 0

        def part(start: int, count: int, data: bytes = data) -> bytes:
            nonlocal read
            read += len(found := data[start : start + count])
            return found

        identify(len(data), part)
        assert read <= HEAD + (66 << 10)


@given(
    st.binary(max_size=600),
    st.sampled_from([b"", b"GGUF", b"PK\x03\x04", b"\x08\x07", b"7z\xbc\xaf\x27\x1c", b"\x80\x02"]),
)
def test_any_bytes_are_something(data: bytes, start: bytes) -> None:
    assert identify_bytes(start + data).kind in GOOD


@given(st.integers(1, 5000), st.sampled_from(["safetensors", "gguf", "onnx"]))
def test_every_beginning_of_a_good_file_is_seen_through(length: int, kind: str) -> None:
    data = GOOD[kind][0]
    found = identify_bytes(data[: min(length, len(data) - 1)])
    assert found.kind != kind or found.fault is not None


def test_a_gguf_header_that_is_large_for_its_own_sake_costs_little() -> None:
    key, array = struct.pack("<Q", 1) + b"k", 9
    strings, arrays = struct.pack("<IIQ", array, 8, 5_000_000), struct.pack("<IIQ", array, array, 3_000_000)
    for data, words in (
        (gguf_of(pairs=1, data=40_000_000, extra=key + strings), "more than 4,000,000 strings"),
        (gguf_of(pairs=1, data=40_000_000, extra=key + arrays), "more than 500,000 items"),
        (gguf_of(pairs=3_000_000, data=40_000_000), "more than 500,000 items"),
    ):
        with costing(5):
            assert words in (identify_bytes(data).fault or "")


def test_a_large_honest_vocabulary_passes() -> None:
    words = b"".join(struct.pack("<Q", 9) + b"%9d" % number for number in range(300_000))
    extra = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 300_000) + words
    whole = gguf_of(("w", 0, (8,), 0), data=32, extra=extra, pairs=1)
    assert identify_bytes(whole) == Content("gguf")
    assert identify_bytes(whole[:-1]).fault is not None

"""Pickles under any name: by their operations, packed, in arrays and in archives; and what only looks like one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import zipfile
import zlib

import pytest
from world import costing

from synapse_sync.core.content import HEAD, identify_bytes
from synapse_sync.core.pickles import is_pickle
from synapse_sync.demo.weights import noise


class Call:
    """Unpickling it would call a function."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.getenv, ("HOME",)


def array_bytes(descr: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def zip_of(*members: str, packed: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        for name in members:
            archive.writestr(name, noise(name, 300))
    return out.getvalue()


CALLS = {f"protocol-{number}": pickle.dumps(Call(), number) for number in range(6)}
PADDED = b"V" + b"a" * 3 * HEAD + b"\n0" + CALLS["protocol-0"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("behind", [b"", b"\x00 anything else", b"text\n" * HEAD])
def test_a_pickle_of_every_protocol_is_one_whatever_follows_it(name: str, behind: bytes) -> None:
    assert identify_bytes(CALLS[name] + behind).kind == "pickle"


@pytest.mark.parametrize(
    "data",
    [
        PADDED,
        b"T" + struct.pack("<I", 9000) + bytes(9000) + b"0cos\nsystem\n(S'true'\ntR.",
        b"T" + struct.pack("<I", 3 << 20) + bytes(3 << 20) + b"0cos\nsystem\n(S'true'\ntR.",
        b"V" + b"a" * (2 << 20) + b"\n0cos\nsystem\n(S'true'\ntR.",
        b"N0" * 9000 + b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x80\x01cos\nsystem\n(S'true'\ntR.",
        b"N0N0cos\nsystem\n.",
        b"cos\nsystem\n" + b"(S'true'\ntR.".ljust(2000, b"N") + b"ustar",
    ],
)
def test_a_pickle_that_hides_its_call(data: bytes) -> None:
    assert identify_bytes(data).kind == "pickle"


@pytest.mark.parametrize(
    "text",
    [
        b"cat\ndog\nhorse\n", b"cat\ndog\n" * 3000, b"copper hair\nred hair\n", b"(intricate:1.2), sharp\n", b"NNN",
        b"c", b"I like this one.\n", b"Very long " * 4000, b"]q", b"X" * 9000, b"(best quality)\n",
    ],
)  # fmt: skip
def test_lists_of_words_are_none(text: bytes) -> None:
    assert identify_bytes(text).kind == "text"


def test_noise_is_none() -> None:
    found = [identify_bytes(noise(f"n{number}", 6000)).kind for number in range(300)]
    assert "pickle" not in found and "pickled" not in found


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bz2.compress, lzma.compress])
def test_a_packed_pickle(pack: object) -> None:
    assert callable(pack)
    for data in (CALLS["protocol-4"], CALLS["protocol-0"], CALLS["protocol-2"] + noise("more", 1 << 20)):
        assert identify_bytes(pack(data)).kind == "pickled", len(data)
    assert identify_bytes(pack(b"words " * 9000)).kind in ("archive", "unknown")


@pytest.mark.parametrize("descr", ["'|O'", "'O'", "[('a', '<f4'), ('b', '|O')]", "[('" + "a" * 9000 + "', '|O')]"])
def test_an_array_of_objects(descr: str) -> None:
    assert identify_bytes(array_bytes(descr, CALLS["protocol-3"])).kind == "pickled"


def test_an_array_of_numbers_is_none() -> None:
    assert identify_bytes(array_bytes("'<f4'", bytes(4))).kind == "unknown"


@pytest.mark.parametrize(
    "members",
    [
        ("a.npy",), ("config.json", "model.weights.h5"), ("x/code/a.py", "x/constants.pkl"), ("a.json", "b/C.PKL"),
        (*(f"{number:0200}.json" for number in range(900)), "a.pkl"),
    ],
)  # fmt: skip
def test_an_archive_with_a_pickle_by_its_directory(members: tuple[str, ...]) -> None:
    for packed in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert identify_bytes(zip_of(*members, packed=packed)).kind in ("pickle", "pickled")
    assert identify_bytes(zip_of("a.safetensors", "pkl", "a.pkl.json")).kind == "zip"


def test_a_large_archive_by_the_record_of_zip64() -> None:
    data = zip_of("a.npy")
    at = data.rfind(b"PK\x05\x06")
    length, offset = struct.unpack("<II", data[at + 12 : at + 20])
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, length, offset)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert identify_bytes(data[:at] + record + locator + end).kind == "pickled"


@pytest.mark.parametrize(
    "data",
    [b"N0" * (1 << 20), b"(" * (1 << 20), b"V" + b"a" * (1 << 21), b"(((ttt" * (1 << 18), b"L" + b"9" * (1 << 20)],
)
def test_looking_costs_little(data: bytes) -> None:
    with costing(3):
        identify_bytes(data)


def test_only_more_bytes_show_it() -> None:
    assert is_pickle(PADDED[:HEAD]) is None
    assert is_pickle(PADDED[:HEAD], whole=True) is False
    assert is_pickle(PADDED) is True
    assert is_pickle(b"") is False

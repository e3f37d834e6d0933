"""The tensors of files of `torch.save`, read without unpickling: both formats, every protocol, and hostile ones.

torch is not needed: modules of its names stand in for it while a file is written, with its own functions' names.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import costing

from synapse_sync.core import pickled_tensors
from synapse_sync.core.pickled_tensors import read_tensors
from synapse_sync.core.weights.header import read_header
from synapse_sync.core.weights.identify import identify

MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    def __init__(self, kind: type) -> None:
        self.kind = kind


class Tensor:
    """A tensor of a kind of storage ("HalfStorage"); `parameter` wraps it as torch does."""

    def __init__(self, kind: str, *shape: int, parameter: bool = False) -> None:
        self.storage = Storage(getattr(sys.modules["torch"], kind))
        self.shape = shape
        self.parameter = parameter

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        utils = sys.modules["torch._utils"]
        if self.parameter:
            return utils._rebuild_parameter, (_Plain(self), True, OrderedDict())
        return utils._rebuild_tensor_v2, (self.storage, 0, self.shape, (1,), False, OrderedDict())


class _Plain:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        plain = self.tensor
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (
            plain.storage, 0, plain.shape, (1,), False, OrderedDict(),
        )  # fmt: skip


@pytest.fixture(autouse=True)
def torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules under torch's names, which only the pickler looks at."""
    main, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage"):
        setattr(main, name, type(name, (), {"__module__": "torch", "__qualname__": name}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *arguments: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    monkeypatch.setitem(sys.modules, "torch", main)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    yield


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        return ("storage", value.kind, "0", "cpu", 4) if isinstance(value, Storage) else None


def pickled(value: object, protocol: int = 2) -> bytes:
    out = io.BytesIO()
    _Pickler(out, protocol).dump(value)
    return out.getvalue()


def saved(value: object, protocol: int = 2, packed: int = zipfile.ZIP_STORED) -> bytes:
    """A file as torch writes it since 1.6."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        archive.writestr("archive/data.pkl", pickled(value, protocol))
        archive.writestr("archive/data/0", b"\0" * 64)
        archive.writestr("archive/version", b"3\n")
    return out.getvalue()


def saved_before(value: object) -> bytes:
    """A file as torch wrote it before 1.6."""
    head = b"".join(pickle.dumps(one, 2) for one in (MAGIC, 1001, {"protocol_version": 1001}))
    return head + pickled(value) + pickle.dumps(["0"], 2) + b"\0" * 64


def read(data: bytes) -> dict[str, tuple[str, tuple[int, ...]]] | None:
    return read_tensors(len(data), lambda start, count: data[start : start + count])


def weights() -> dict[str, Tensor]:
    return {
        "a.weight": Tensor("HalfStorage", 3, 4),
        "a.bias": Tensor("FloatStorage", 3, parameter=True),
        "b": Tensor("BFloat16Storage"),
    }


FOUND = {"a.weight": ("F16", (3, 4)), "a.bias": ("F32", (3,)), "b": ("BF16", ())}


@pytest.mark.parametrize("protocol", range(6))
def test_names_types_and_sizes_of_every_protocol(protocol: int) -> None:
    if protocol:  # the oldest one writes persistent ids as texts, which torch's are not
        assert read(saved(weights(), protocol)) == FOUND


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_both_formats(packed: int) -> None:
    assert read(saved(OrderedDict(weights()), packed=packed)) == FOUND
    assert read(saved_before(weights())) == FOUND
    assert read(pickled(weights())) == FOUND


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"state_dict": tensors, "epoch": 3, "global_step": 10, "callbacks": [1, (2, 3)]},
        lambda tensors: {"params": {}, "params_ema": tensors},
        lambda tensors: {"anything": tensors},
        lambda tensors: {"model": tensors, "optimizer": {"state": {0: {"step": 1}}}},
    ],
)
def test_the_dictionary_inside_that_has_the_tensors(wrap: Callable[[Any], Any]) -> None:
    assert read(saved(wrap(weights()))) == FOUND


def test_a_dictionary_beside_tensors_is_a_part_of_the_names() -> None:
    found = read(saved({"x": Tensor("HalfStorage", 1), "vae": {"y": Tensor("HalfStorage", 2)}}))
    assert found == {"x": ("F16", (1,)), "vae.y": ("F16", (2,))}


def test_embeddings_of_a1111_and_upscalers_are_known() -> None:
    vectors = {"*": Tensor("FloatStorage", 4, 768, parameter=True)}
    embedding = {"string_to_token": {"*": 265}, "string_to_param": vectors, "name": "style", "step": 500}
    names = ("conv_first.weight", "conv_last.weight", "body.0.rdb1.conv1.weight")
    upscaler = {name: Tensor("FloatStorage", 64, 3, 3, 3) for name in names}
    for value, kind, family in (
        (embedding, "embedding", "SD1.x"),
        ({"params_ema": upscaler}, "upscaler", "upscaler"),
    ):
        data = saved(value)
        header = read_header(len(data), lambda start, count, data=data: data[start : start + count])
        assert header is not None and header.format == "pickle"
        found = identify(header)
        assert (found.kind, found.family, found.precision) == (kind, family, "fp32")


class _Called:
    calls = 0

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _call, ()


def _call() -> None:
    _Called.calls += 1


def test_nothing_is_called_or_imported() -> None:
    before = set(sys.modules)
    hostile = pickle.dumps({"x": _Called()}, 2) + b""
    imports = b"\x80\x02cturtle\nnothing\n(S'x'\ntR."
    for data in (hostile, imports, b"\x80\x04\x8c\x06turtle\x8c\x07nothing\x93)R."):
        assert read(data) == {}
    assert _Called.calls == 0
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02", b"\x80\x02}q\x00", b"\x80\x02h\x05.", b"\x80\x02R.", b"\x80\x02X\xff\xff\xff\x7fab.",
        b"\x80\x02(((t.", b"\x80\x02\x8b\xff\xff\xff\xff.", b"\x80\x02}]s.", b"\x80\x02I" + b"9" * 5000 + b"\n.",
        saved(1)[:-30], saved(1)[: len(saved(1)) // 2], b"PK\x03\x04", b"\x80\x02\x85.", b"\x80\x02t.",
    ],
)  # fmt: skip
def test_damage_is_an_error_or_nothing(data: bytes) -> None:
    try:
        assert read(data) in (None, {})
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + b"(" * 60_000,
        b"\x80\x02]" + b"2" * 60_000 + b".",
        b"\x80\x02" + b"K\x01" * 60_000 + b".",
        b"\x80\x02})" + b"\x85" * 60_000 + b".",
    ],
    ids=["marks", "copies", "numbers", "tuples"],
)
def test_hostile_pickles_are_bounded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled_tensors, "MOST_OPERATIONS", 50_000)
    with costing(10), pytest.raises(ValueError, match=r"operations|damaged|tensors|ends"):
        read(data)
        raise ValueError("operations")


def test_a_dictionary_in_itself_many_times_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled_tensors, "MOST_VALUES", 20_000)
    inner: dict[str, object] = {}
    for _ in range(4):
        inner = {f"k{number}": inner for number in range(60)}
    with pytest.raises(ValueError, match="tensors"):
        read(pickle.dumps({"a": 1, **inner}, 2))
    circle: dict[str, object] = {"b": 1}
    circle["a"] = circle
    assert read(pickle.dumps(circle, 2)) == {}


def test_a_list_of_tensors_that_is_too_long_is_refused() -> None:
    data = bytearray(saved(weights()))
    at = data.rfind(b"PK\x01\x02")
    while data[at + 46 : at + 46 + 16] != b"archive/data.pkl":
        at = data.rfind(b"PK\x01\x02", 0, at)
    struct.pack_into("<II", data, at + 20, 1 << 30, 1 << 30)
    with pytest.raises(ValueError, match="longer"):
        read(bytes(data))


@given(st.binary(max_size=200), st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_random_and_changed_pickles_raise_nothing_else(tail: bytes, at: int, change: bytes) -> None:
    plain = pickle.dumps({"a": [1, 2.5, "x", (None, True)], "b": {"c": b"1"}}, 2)
    changed = plain[: at % len(plain)] + change + plain[at % len(plain) + len(change) :]
    for data in (b"\x80\x02" + tail, changed):
        try:
            read(data)
        except ValueError as error:
            assert str(error)

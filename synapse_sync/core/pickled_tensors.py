"""The tensors in a file that `torch.save` wrote: names, types and sizes, without unpickling anything. Pure.

A machine of our own carries out those operations of Python's pickle machine that make plain values (numbers, texts,
tuples, lists, dictionaries). Nothing is imported and nothing is called: the calls that rebuild a tensor are known
by name, and their arguments say its type and sizes (torch/_utils.py). Any other call makes an empty object.
Files are zip archives with a `data.pkl` since torch 1.6, and rows of pickles before (torch/serialization.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pickle import decode_long
from typing import Any

from synapse_sync.core.zip_members import Read, member

Tensor = tuple[str, tuple[int, ...]]

#: The bytes of a pickle that are read, its operations, the tensors that are kept, and the sizes of one of them.
_MOST_BYTES, MOST_OPERATIONS, _MOST_TENSORS, _MOST_SIZES = 32 << 20, 1_000_000, 100_000, 8
#: Bytes at the beginning in which an archive of torch names its pickle.
_HEAD = 4096
#: The longest name of a tensor, and the digits of a number, in characters.
_LONGEST, _MOST_DIGITS = 500, 20
#: The pickles of a file from before 1.6: a number, the protocol, the system, and then the object.
_OLD = 4
_MAGIC = 0x1950A86A20F9469CFC6C
#: Storages and types by the names that torch has for them, as safetensors spells the types.
_TYPES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "half": "F16", "float": "F32", "double": "F64",
}  # fmt: skip
#: The keys under which programs keep the tensors of a model (ComfyUI `load_torch_file`, spandrel `canonicalize`).
_INSIDE = (
    "state_dict", "params_ema", "params-ema", "params", "model_state_dict", "model", "net", "module",
    "string_to_param",
)  # fmt: skip
_DEEPEST = 4
#: The most values of dictionaries that are looked at: one dictionary may be in another many times.
MOST_VALUES = 200_000


def read_tensors(size: int, read: Read) -> dict[str, Tensor] | None:
    """The tensors of a file of `size` bytes, by their names; None if torch did not write it.

    `read(start, count)` returns up to that many of its bytes. Raises `ValueError` for a damaged file, and for one
    with more than a file of weights has.
    """
    first = read(0, _HEAD)
    if first.startswith(b"PK\x03\x04"):
        if b"data.pkl" not in first:  # torch writes it first
            return None
        data = member(size, read, lambda name: name.endswith("/data.pkl") or name == "data.pkl", _MOST_BYTES)
        return None if data is None else _named(_run(data)[0])
    if first[:1] != b"\x80":
        return None
    data = read(0, min(size, _MOST_BYTES))
    value, end = _run(data)
    if value == _MAGIC:
        for _ in range(_OLD - 1):
            value, end = _run(data, end)
    return _named(value)


# -- the machine ---------------------------------------------------------------------------------------


class _Global:
    """A name in a module. It is never looked up."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name


class _Tensor:
    """A tensor, or a storage that has no sizes yet."""

    __slots__ = ("dtype", "shape")

    def __init__(self, dtype: str, shape: tuple[int, ...]) -> None:
        self.dtype = dtype
        self.shape = shape


class _Object:
    """A value that is not known; its dictionary is, where it has one."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: object = None


class _Mark:
    __slots__ = ()


_MARK = _Mark()


def _run(data: bytes, at: int = 0) -> tuple[object, int]:
    """Carry out one pickle; returns its value, and where the next one begins. Raises `ValueError`."""
    machine = _Machine()
    try:
        return machine.run(data, at)
    except (IndexError, KeyError, TypeError, OverflowError, struct.error, UnicodeError) as error:
        raise ValueError("its pickle is damaged") from error


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes, at: int) -> tuple[object, int]:
        steps, kinds = _steps(), _kinds()
        for _ in range(MOST_OPERATIONS):
            code = data[at]
            if code == 0x2E:  # STOP
                return self.stack.pop(), at + 1
            begin, end = _argument(kinds.get(code, ""), data, at + 1)
            steps[code](self, data[begin:end])
            at = end
        raise ValueError("its pickle has more operations than a file of weights")

    def marked(self) -> list[Any]:
        """The values above the last mark, which are taken off with it."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("its pickle is damaged")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def put_all(self, pairs: list[Any]) -> None:
        into = self.stack[-1]
        if isinstance(into, dict):
            into.update(_hashable(zip(pairs[::2], pairs[1::2], strict=True)))

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(_called(function, arguments))

    def build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], _Object):
            self.stack[-1].state = state

    def extend(self) -> None:
        values = self.marked()
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def append(self) -> None:
        value = self.stack.pop()
        if isinstance(self.stack[-1], list):
            self.stack[-1].append(value)

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_Global(str(module)[:_LONGEST], str(name)[:_LONGEST]))


def _hashable(pairs: Any) -> Iterator[tuple[object, object]]:
    """The pairs whose keys are plain values: a key of any other kind names no tensor."""
    return ((key, value) for key, value in pairs if isinstance(key, str | int | bytes | float) or key is None)


def _called(function: object, arguments: object) -> object:
    """The value of a call, for the few functions that make tensors and dictionaries."""
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        return _Object()
    module, name = function.module, function.name
    if (module, name) in (("collections", "OrderedDict"), ("collections", "defaultdict"), ("builtins", "dict")):
        return {}
    if module == "torch._utils" and name.startswith("_rebuild_tensor"):
        return _rebuilt(arguments)
    if module == "torch._utils" and name.startswith("_rebuild_parameter"):
        return arguments[0] if arguments else _Object()
    if module == "torch._tensor" and name == "_rebuild_from_type_v2" and len(arguments) > 2:
        return _called(arguments[0], arguments[2])
    return _Object()


def _rebuilt(arguments: tuple[Any, ...]) -> object:
    """A tensor from the arguments of `_rebuild_tensor`, `_rebuild_tensor_v2` or `_rebuild_tensor_v3`."""
    if len(arguments) < 3 or not isinstance(arguments[0], _Tensor) or not isinstance(arguments[2], tuple):
        return _Object()
    shape = arguments[2]
    if len(shape) > _MOST_SIZES or not all(type(size) is int and 0 <= size < 1 << 48 for size in shape):
        return _Object()
    dtype = next((_dtype(one) for one in arguments[6:] if isinstance(one, _Global)), arguments[0].dtype)
    return _Tensor(dtype, shape)


def _dtype(word: _Global) -> str:
    return _TYPES.get(word.name, word.name[:20])


def _storage(identity: object) -> object:
    """A storage from its persistent id: ('storage', its class, key, device, length)."""
    if isinstance(identity, tuple) and len(identity) > 1 and isinstance(identity[1], _Global):
        return _Tensor(_dtype(identity[1]), ())
    return _Object()


# -- the operations ------------------------------------------------------------------------------------


@cache
def _kinds() -> Mapping[int, str]:
    """The kinds of the operations' arguments, by code."""
    from pickletools import opcodes

    return {ord(one.code): one.arg.name for one in opcodes if one.arg is not None}


_FIXED = {"uint1": 1, "uint2": 2, "int4": 4, "uint4": 4, "uint8": 8, "float8": 8}
_COUNTED = {
    "long1": 1, "long4": 4, "string1": 1, "string4": 4, "bytes1": 1, "bytes4": 4, "bytes8": 8, "bytearray8": 8,
    "unicodestring1": 1, "unicodestring4": 4, "unicodestring8": 8,
}  # fmt: skip


def _argument(kind: str, data: bytes, at: int) -> tuple[int, int]:
    """Where an operation's argument begins and ends. Raises `ValueError` for one that the data do not have."""
    if not kind:
        return at, at
    if (width := _FIXED.get(kind)) is not None:
        begin, end = at, at + width
    elif (width := _COUNTED.get(kind)) is not None:
        begin = at + width
        end = begin + int.from_bytes(data[at:begin], "little")
    else:  # one line, or two
        end = at
        for _ in range(2 if kind.endswith("_pair") else 1):
            end = data.find(b"\n", end) + 1
            if end == 0:
                raise ValueError("its pickle is damaged")
        begin = at
    if end > len(data):
        raise ValueError("it ends before its pickle does")
    return begin, end


def _number(data: bytes) -> object:
    text = data.strip().removesuffix(b"L")
    if text in (b"00", b"01"):
        return text == b"01"
    if len(text) > _MOST_DIGITS:
        raise ValueError("its pickle has a number that is too long")
    return int(text)


def _line_pair(data: bytes) -> _Global:
    module, name = data.decode("utf-8", "replace").split("\n")[:2]
    return _Global(module[:_LONGEST], name[:_LONGEST])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


Step = Callable[[_Machine, bytes], object]


def _pushed(make: Callable[[bytes], object]) -> Step:
    return lambda machine, data: machine.stack.append(make(data))


def _tuple_of(count: int) -> Step:
    def step(machine: _Machine, data: bytes) -> None:
        if len(machine.stack) < count:
            raise ValueError("its pickle is damaged")
        values = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.stack.append(values)

    return step


def _remember(machine: _Machine, number: int) -> None:
    machine.memo[number] = machine.stack[-1]


def _instance(machine: _Machine, data: bytes) -> None:
    machine.marked()
    machine.stack.append(_Object())


def _new(count: int) -> Step:
    def step(machine: _Machine, data: bytes) -> None:
        for _ in range(count):
            machine.stack.pop()
        machine.stack.append(_Object())

    return step


def _set_one(machine: _Machine, data: bytes) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.put_all([key, value])


def _add_all(machine: _Machine, data: bytes) -> None:
    machine.marked()


def _dict_of(machine: _Machine) -> dict[object, object]:
    values = machine.marked()
    return dict(_hashable(zip(values[::2], values[1::2], strict=True)))


def _nothing(machine: _Machine, data: bytes) -> None:
    pass


@cache
def _steps() -> Mapping[int, Step]:
    """The operations by their codes; all others raise `KeyError`."""
    signed = _pushed(lambda data: int.from_bytes(data, "little", signed=True))
    unsigned = _pushed(lambda data: int.from_bytes(data, "little"))
    long = _pushed(lambda data: decode_long(data[:64]))
    text, raw = _pushed(_text), _pushed(bytes)
    plain = _pushed(lambda data: data.strip().strip(b"'\"").decode("latin-1"))
    floating = _pushed(lambda data: struct.unpack(">d", data)[0])
    return {
        ord(code): step
        for codes, step in (
            ("J", signed), ("KM", unsigned), ("\x8a\x8b", long), ("IL", _pushed(_number)), ("G", floating),
            ("F", _pushed(lambda data: 0.0)), ("X\x8c\x8d", text), ("V", plain), ("S", plain),
            ("TU", _pushed(lambda data: data.decode("latin-1"))), ("BC\x8e\x96", raw),
            ("N", _pushed(lambda data: None)), ("\x88", _pushed(lambda data: True)),
            ("\x89", _pushed(lambda data: False)), ("]", _pushed(lambda data: [])), (")", _pushed(lambda data: ())),
            ("}", _pushed(lambda data: {})), ("\x8f", _pushed(lambda data: _Object())),
            ("(", _pushed(lambda data: _MARK)), ("\x85", _tuple_of(1)), ("\x86", _tuple_of(2)),
            ("\x87", _tuple_of(3)),
            ("t", lambda machine, data: machine.stack.append(tuple(machine.marked()))),
            ("l", lambda machine, data: machine.stack.append(machine.marked())),
            ("d", lambda machine, data: machine.stack.append(_dict_of(machine))),
            ("a", lambda machine, data: machine.append()), ("e", lambda machine, data: machine.extend()),
            ("s", _set_one), ("u", lambda machine, data: machine.put_all(machine.marked())), ("\x90", _add_all),
            ("\x91", _instance), ("0", lambda machine, data: machine.stack.pop()),
            ("1", lambda machine, data: machine.marked()),
            ("2", lambda machine, data: machine.stack.append(machine.stack[-1])),
            ("q", lambda machine, data: _remember(machine, data[0])),
            ("r", lambda machine, data: _remember(machine, int.from_bytes(data, "little"))),
            ("p", lambda machine, data: _remember(machine, int(data[:_MOST_DIGITS]))),
            ("\x94", lambda machine, data: _remember(machine, len(machine.memo))),
            ("h", lambda machine, data: machine.stack.append(machine.memo[data[0]])),
            ("j", lambda machine, data: machine.stack.append(machine.memo[int.from_bytes(data, "little")])),
            ("g", lambda machine, data: machine.stack.append(machine.memo[int(data[:_MOST_DIGITS])])),
            ("c", _pushed(_line_pair)), ("\x93", lambda machine, data: machine.stack_global()),
            ("R", lambda machine, data: machine.call()), ("\x81", _new(2)), ("\x92", _new(3)), ("io", _instance),
            ("b", lambda machine, data: machine.build()),
            ("Q", lambda machine, data: machine.stack.append(_storage(machine.stack.pop()))),
            ("P", _pushed(lambda data: _Object())), ("\x80\x95\x97\x98", _nothing),
            ("\x82\x83\x84", _pushed(lambda data: _Object())),
        )
        for code in codes
    }  # fmt: skip


# -- the names -----------------------------------------------------------------------------------------


def _named(value: object) -> dict[str, Tensor]:
    """The tensors of a value by their names, as programs find them: in the dictionary inside that has them."""
    for _ in range(_DEEPEST):
        if isinstance(value, _Object):
            value = value.state
        if not isinstance(value, dict):
            return {}
        inside = next((value[key] for key in _INSIDE if isinstance(value.get(key), dict | _Object)), None)
        if inside is None and len(value) == 1:
            inside = next((one for one in value.values() if isinstance(one, dict)), None)
        if inside is None or any(isinstance(one, _Tensor) for one in value.values()):
            break
        value = inside
    found: dict[str, Tensor] = {}
    for seen, (name, tensor) in enumerate(_flat(value, "", _DEEPEST)):
        if len(found) >= _MOST_TENSORS or seen > MOST_VALUES:
            raise ValueError("it has more tensors than a file of weights")
        if tensor is not None:
            found[name] = (tensor.dtype, tensor.shape)
    return found


def _flat(value: object, before: str, deep: int) -> Iterator[tuple[str, _Tensor | None]]:
    """The values of a dictionary, and of those in it, whose names are joined by dots; None for other values."""
    if not isinstance(value, dict):
        return
    for key, one in value.items():
        name = f"{before}{key}"[: _LONGEST + 1]
        yield name, one if isinstance(one, _Tensor) and len(name) <= _LONGEST else None
        if isinstance(one, dict) and deep:
            yield from _flat(one, f"{name}.", deep - 1)

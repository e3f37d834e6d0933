"""Pickles by their bytes: as operations of Python's pickle machine, packed, in arrays and in archives. Pure.

Nothing is unpickled: `pickletools` only reads operations and their arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from synapse_sync.core.code import is_pickle_like

#: A pickle of protocol 2 and later begins with PROTO. Older ones of plain data begin with a mark, or a container.
_BEGINS = re.compile(rb"\x80[\x02-\x05]|\([dli]p\d|[\]})]q\x00")
#: The lines that old operations accept. Python's machine accepts other names, which no module has.
_NAME = rb"[^\W\d][\w.]*\n"
_LINES = {
    "GLOBAL": re.compile(_NAME * 2), "INST": re.compile(_NAME * 2), "INT": re.compile(rb"\s*[+-]?\d+\s*\n"),
    "LONG": re.compile(rb"\s*[+-]?\d+L?\s*\n"), "FLOAT": re.compile(rb"\s*[+-]?[\d.einfa+-]+\s*\n"),
    "STRING": re.compile(rb"""(['"]).*\1\n""", re.DOTALL),
}  # fmt: skip
#: Operations that import, and those that call what was imported.
_IMPORTS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"})
_CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
#: A row of operations that is this long is no accident; more are not followed.
_MOST_OPERATIONS = 200_000
#: The bytes that are read at once, and the longest line.
_WINDOW, _MOST_WINDOW = 1 << 16, 1 << 24

NUMPY = b"\x93NUMPY"
#: A header of an array that is longer (bytes) is that of thousands of columns, and counts as one with objects.
_MOST_HEADER = 1 << 20
#: Objects in the type of an array's items, as `|O`, `O` or `O8`.
_OBJECT = re.compile(rb"""['"][|<>=]?O\d*['"]""")
_PACKED = (b"\x1f\x8b", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda", b"BZh", b"\xfd7zXZ\x00", b"]\x00\x00")
#: The memory (bytes) that the head of an xz file may need to be unpacked.
_MEMORY = 64 << 20
#: One entry of a zip archive's directory (APPNOTE.TXT, 4.3.12), without its name.
_ENTRY, _ENTRY_BYTES = b"PK\x01\x02", 46


def is_pickle(first: bytes, *, whole: bool = False) -> bool | None:
    """Whether bytes begin like a pickle that does something; None if only more of them can show it.

    Python's machine carries out one operation after the other, so a call counts whatever follows it. `whole` says
    that these are all bytes of the file.
    """
    if _BEGINS.match(first):
        return True
    if not first or not 0x28 <= first[0] <= 0x98 or first[0] in b"{[<":
        return False  # no operation
    verdict, at = _Machine().run(first)
    if verdict == "ends":
        return whole and at == len(first)
    return verdict == "calls" if verdict != "cut" else (False if whole else None)


def is_long_pickle(size: int, read: Callable[[int, int], bytes]) -> bool:
    """Whether a file is a pickle that its first bytes leave open, as with long texts before a call.

    `read(start, count)` returns up to that many of its bytes. Long arguments are skipped.
    """
    machine, at, window = _Machine(), 0, _WINDOW
    while at < size:
        data = read(at, window)
        verdict, end = machine.run(data)
        if verdict == "ends":
            return at + end == size
        if verdict != "cut":
            return verdict == "calls"
        if end == 0 and window < _MOST_WINDOW:
            window *= 4  # a longer line
        elif end == 0:
            return False
        else:
            at, window = at + end, _WINDOW
    return False


def _argument(operation: Any, data: bytes, at: int) -> tuple[int, int]:
    """Where an operation's argument begins and ends; behind the last byte if its length is known, else -1."""
    kind = operation.arg
    if kind is None:
        return at, at
    if kind.n >= 0:
        return at, at + kind.n if at + kind.n <= len(data) else -1
    if kind.n == -1:  # lines: two for a module and a name
        end = at
        for _ in range(2 if kind.name.endswith("_pair") else 1):
            end = data.find(b"\n", end) + 1
            if end == 0:
                return at, -1
        return at, end
    width = {-2: 1, -3: 4, -4: 4, -5: 8}[kind.n]  # the bytes of its length
    if at + width > len(data):
        return at, -1
    return at + width, at + width + int.from_bytes(data[at : at + width], "little")


@cache
def _operations() -> Mapping[int, Any]:
    from pickletools import opcodes

    return {ord(operation.code): operation for operation in opcodes}


class _Machine:
    """The stack of a pickle, as far as it decides whether an operation can be carried out."""

    def __init__(self) -> None:
        self.imported = self.called = False
        self._stack: list[bool] = []  # True for a mark
        self._memo: set[int] = set()
        self._left = _MOST_OPERATIONS

    def run(self, data: bytes) -> tuple[str, int]:
        """Carry out the operations in `data`; returns why it stopped, and the number of bytes that it is done with.

        It "calls" something, "ends" after an import, "fails", or is "cut": the next operation begins or goes on
        behind these bytes. A very long row of operations that can all be carried out is a pickle, too.
        """
        at = 0
        while at < len(data):
            operation = _operations().get(data[at])
            if operation is None:
                return "fails", at
            begin, end = _argument(operation, data, at + 1)
            if end < 0:
                return "cut", at
            try:
                self.step(operation, data[begin:end])
            except (IndexError, ValueError):
                return "fails", at
            at = end
            self._left -= 1
            if self.called or not self._left:
                return "calls", at
            if operation.name == "STOP":
                return "ends" if self.imported else "fails", at
        return "cut", at

    def step(self, operation: Any, argument: bytes) -> None:
        """Carry out one operation; raises `IndexError` or `ValueError` for one that cannot be."""
        from pickletools import markobject

        name, before, after = operation.name, operation.stack_before, operation.stack_after
        count = len(before)
        if markobject in before:
            while not self._stack.pop():
                pass
            count = before.index(markobject)
        for _ in range(count):
            self._stack.pop()
        self._stack += [kind is markobject for kind in after]
        if name in _LINES and not _LINES[name].match(argument):
            raise ValueError(name)
        self._recall(name, argument)
        self.imported = self.imported or name in _IMPORTS
        self.called = name in _CALLS and self.imported

    def _recall(self, name: str, argument: bytes) -> None:
        """Keep or look up a value in the memo."""
        if name == "MEMOIZE":
            self._memo.add(len(self._memo))
        elif name.endswith(("PUT", "GET")):
            number = int(argument) if name in ("PUT", "GET") else int.from_bytes(argument, "little")
            if name.endswith("PUT"):
                self._memo.add(number)
            elif number not in self._memo:
                raise ValueError(number)


def has_objects(read: Callable[[int, int], bytes]) -> bool:
    """Whether an array of NumPy has Python objects, which are a pickle (numpy.lib.format)."""
    start = read(0, 12)
    wide = start[6:7] not in (b"\x00", b"\x01")
    length = int.from_bytes(start[8 : 12 if wide else 10], "little")
    return length > _MOST_HEADER or _OBJECT.search(read(12 if wide else 10, length)) is not None


def unpacked_head(first: bytes, count: int) -> bytes:
    """Up to `count` bytes of what was packed by gzip, zlib, bzip2 or xz; empty if these bytes do not show them."""
    if not first.startswith(_PACKED):
        return b""
    import bz2  # with the others a millisecond, which a status without such a file does not need
    import lzma
    import zlib

    try:
        if first.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(31).decompress(first, count)
        if first.startswith(b"x"):
            return zlib.decompressobj().decompress(first, count)
        if first.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(first, count)
        if first.startswith((b"\xfd7zXZ\x00", b"]\x00\x00")):
            return lzma.LZMADecompressor(memlimit=_MEMORY).decompress(first, count)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        pass
    return b""


def lists_pickles(directory: bytes) -> bool:
    """Whether the directory of a zip archive names a pickle, or an array that may be one."""
    return any(is_pickle_like(name) or name.casefold().endswith(".npy") for name in _names(directory))


def _names(directory: bytes) -> Iterator[str]:
    at = 0
    while directory.startswith(_ENTRY, at):
        name, extra, comment = (
            int.from_bytes(directory[at + start : at + start + 2], "little") for start in (28, 30, 32)
        )
        begin = at + _ENTRY_BYTES
        yield directory[begin : begin + name].decode("utf-8", "replace")
        at = begin + name + extra + comment

"""Inspect: does a file hold what its names promise? It is read before it is published, and never loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.core.code import named_code
from synapse_sync.core.content import Content, identify
from synapse_sync.core.policy import Facts, Permissions, objection, remark
from synapse_sync.errors import WrongContent
from synapse_sync.transfer.want import Want

if TYPE_CHECKING:
    from synapse_sync.core.weights.header import Header

_PAGE_BYTES = 64 << 10
#: The bytes at the beginning of a file that are read at once: all of most headers.
_FIRST = 256 << 10
#: The most bytes of a configuration that is searched for names of code.
_CONFIG_BYTES = 4 << 20
#: How many names of code a note has, and how long they are (characters).
_SHOWN, _NAME = 5, 80


def inspect_want(file: Path | memoryview, want: Want) -> tuple[str, ...]:
    """Check a file that was brought for a want, under each of its names; returns warnings.

    `file` is at rest, or whole in memory. A UI goes by the name in the tree, and one file may have several of them.
    Raises like `inspect_file`.
    """
    allowed = Permissions(pickles=want.allow_pickle, code=want.allow_code, forbidden=want.forbidden)
    remarks: dict[str, None] = {}
    for name in want.names or (None,):
        names = want.source_names if name is None else (*want.source_names, name)
        facts = Facts(subject=want.subject, format=want.format, names=names, local=want.is_local)
        warning = (
            inspect_file(file, facts, allowed)
            if isinstance(file, Path)
            else _inspect(facts, allowed, len(file), lambda start, count: bytes(file[start : start + count]))
        )
        if warning is not None:
            remarks[warning] = None
    return tuple(remarks)


def inspect_file(path: Path, facts: Facts, allowed: Permissions) -> str | None:
    """Check a file at rest by its content; returns a warning about it, or None.

    Raises `WrongContent` for a web page or an error document, `IntegrityError` for other content that cannot be
    the file and for a damaged one, `RefusedFormat` for a pickle that is not allowed. An unreadable file raises
    `OSError`.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        return _inspect(facts, allowed, size, lambda start, count: _read(file, start, count))


def _inspect(facts: Facts, allowed: Permissions, size: int, read: Callable[[int, int], bytes]) -> str | None:
    """Check a file of `size` bytes; `read` returns bytes from a position on, at most the number that is given."""
    facts = replace(facts, content=identify(size, read))
    refused = objection(facts, allowed)
    if isinstance(refused, WrongContent):
        refused.body = read(0, _PAGE_BYTES).decode("utf-8", "replace")
    if refused is not None:
        raise refused
    return remark(facts) or _named_code(facts, read)


def _named_code(facts: Facts, read: Callable[[int, int], bytes]) -> str | None:
    """A note about a configuration that names code: the file comes, and the code does not."""
    if facts.content is None or facts.content.kind not in ("json", "text") or not facts.is_config:
        return None
    names = named_code(read(0, _CONFIG_BYTES).decode("utf-8", "replace"))
    if not names:
        return None
    listed = ", ".join(f"`{name[:_NAME]}`" for name in names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
    return f"`{facts.subject}` names code that is no part of a UI: {listed}; the file is used, that code is not"


def content_of(path: Path) -> Content:
    """The content of a file at rest; raises `OSError` if it cannot be read."""
    with path.open("rb", buffering=0) as file:
        return _content(file)


def header_of(path: Path) -> Header | None:
    """The header of a file of weights at rest; None for other formats than safetensors and GGUF.

    Raises `OSError` if the file cannot be read, `ValueError` if its header is damaged.
    """
    from synapse_sync.core.weights.header import read_header  # late: a sync reads no headers

    with path.open("rb", buffering=0) as file:
        return read_header(os.fstat(file.fileno()).st_size, lambda start, count: _read(file, start, count))


def content_and_header(path: Path) -> tuple[Content, Header | None]:
    """The content of a file at rest, and its header if it is a whole file of weights, as `read_content` has them.

    Raises `OSError` if the file cannot be read.
    """
    from synapse_sync.core.weights.header import read_content

    with path.open("rb", buffering=0) as file:
        first = _read(file, 0, _FIRST)

        def read(start: int, count: int) -> bytes:
            inside = start + count <= len(first) or len(first) < _FIRST
            return first[start : start + count] if inside else _read(file, start, count)

        return read_content(os.fstat(file.fileno()).st_size, read)


def _content(file: FileIO) -> Content:
    return identify(os.fstat(file.fileno()).st_size, lambda start, count: _read(file, start, count))


def _read(file: FileIO, start: int, count: int) -> bytes:
    """Up to `count` bytes from `start` on. Without a buffer, a single read may return fewer than were asked for."""
    file.seek(start)
    data = bytearray()
    while len(data) < count and (block := file.read(count - len(data))):
        data += block
    return bytes(data)

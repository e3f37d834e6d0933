"""Inspect: does a file hold what its names promise? It is read before it is published, and never loaded."""

from __future__ import annotations

import os
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.core.content import Content, identify
from synapse_sync.core.policy import Facts, Permissions, objection, remark
from synapse_sync.errors import WrongContent
from synapse_sync.transfer.want import Want

if TYPE_CHECKING:
    from synapse_sync.core.weights.header import Header

_PAGE_BYTES = 64 << 10


def inspect_want(path: Path, want: Want) -> tuple[str, ...]:
    """Check a file that was brought for a want, under each of its names; returns warnings.

    A UI goes by the name in the tree, and one file may have several of them. Raises like `inspect_file`.
    """
    allowed = Permissions(pickles=want.allow_pickle, code=want.allow_code)
    remarks: dict[str, None] = {}
    for name in want.names or (None,):
        names = want.source_names if name is None else (*want.source_names, name)
        facts = Facts(subject=want.subject, format=want.format, names=names, local=want.is_local)
        if (warning := inspect_file(path, facts, allowed)) is not None:
            remarks[warning] = None
    return tuple(remarks)


def inspect_file(path: Path, facts: Facts, allowed: Permissions) -> str | None:
    """Check a file at rest by its content; returns a warning about it, or None.

    Raises `WrongContent` for a web page or an error document, `IntegrityError` for other content that cannot be
    the file and for a damaged one, `RefusedFormat` for a pickle that is not allowed. An unreadable file raises
    `OSError`.
    """
    with path.open("rb", buffering=0) as file:
        facts = replace(facts, content=_content(file))
        refused = objection(facts, allowed)
        if isinstance(refused, WrongContent):
            refused.body = _read(file, 0, _PAGE_BYTES).decode("utf-8", "replace")
    if refused is not None:
        raise refused
    return remark(facts)


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


def _content(file: FileIO) -> Content:
    return identify(os.fstat(file.fileno()).st_size, lambda start, count: _read(file, start, count))


def _read(file: FileIO, start: int, count: int) -> bytes:
    """Up to `count` bytes from `start` on. Without a buffer, a single read may return fewer than were asked for."""
    file.seek(start)
    data = bytearray()
    while len(data) < count and (block := file.read(count - len(data))):
        data += block
    return bytes(data)

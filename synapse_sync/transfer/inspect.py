"""Inspect: is this file what its names promise? Looked at before it is published, never loaded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.content import identify
from synapse_sync.core.policy import Facts, Permissions, objection, remark
from synapse_sync.errors import WrongContent
from synapse_sync.transfer.want import Want

_PAGE_BYTES = 64 << 10


def inspect_want(path: Path, want: Want) -> tuple[str, ...]:
    """Check a file that was brought for a want, under each of its names; returns warnings.

    A UI goes by the name in the tree, and one file may have several of them. Raises like `inspect_file`.
    """
    allowed = Permissions(pickles=want.allow_pickle)
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

        def read(start: int, count: int) -> bytes:
            file.seek(start)
            data = bytearray()
            # Without a buffer a read may return less than was asked for.
            while len(data) < count and (block := file.read(count - len(data))):
                data += block
            return bytes(data)

        facts = replace(facts, content=identify(os.fstat(file.fileno()).st_size, read))
        refused = objection(facts, allowed)
        if isinstance(refused, WrongContent):
            refused.body = read(0, _PAGE_BYTES).decode("utf-8", "replace")
    if refused is not None:
        raise refused
    return remark(facts)

"""Inspect: is this file what its name promises? Looked at before it is published, never loaded."""

from __future__ import annotations

import os
from pathlib import Path

from synapse_sync.core.policy import Facts, Permissions, objection
from synapse_sync.core.safetensors import check_header, header_length, sniff
from synapse_sync.errors import IntegrityError, WrongContent
from synapse_sync.transfer.want import Want

_SNIFF_BYTES = 512
_PAGE_BYTES = 64 << 10


def inspect_want(path: Path, want: Want) -> None:
    """Check a file that was brought for a want; raises like `inspect_file`."""
    inspect_file(path, format=want.format, name=want.subject, allow_pickle=want.allow_pickle)


def inspect_file(path: Path, *, format: str, name: str, allow_pickle: bool) -> None:
    """Check a downloaded file against its format by content.

    Raises `WrongContent` for a web page or an error document, `IntegrityError` for a damaged safetensors or GGUF
    file, `RefusedFormat` for a pickle in disguise.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        first = file.read(_SNIFF_BYTES)
        found = sniff(first)
        facts = Facts(subject=name, format=format, content=found)
        refused = objection(facts, Permissions(pickles=allow_pickle))
        if isinstance(refused, WrongContent):
            refused.body = (first + file.read(_PAGE_BYTES)).decode("utf-8", "replace")
        if refused is not None:
            raise refused
        if format == "gguf" and found != "gguf":
            raise IntegrityError(f"`{name}` is not a GGUF file")
        if format == "safetensors":
            try:
                whole = 8 + header_length(first[:8], size)
                check_header(first + file.read(max(0, whole - len(first))), size)
            except ValueError as error:
                raise IntegrityError(f"`{name}` is not a valid safetensors file: {error}") from error

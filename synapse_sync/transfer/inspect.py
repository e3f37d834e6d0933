"""Inspect: is this file what its name promises? Looked at before it is published, never loaded."""

from __future__ import annotations

import os
from pathlib import Path

from synapse_sync.core.artifact import DOCUMENT_FORMATS
from synapse_sync.core.safetensors import check_header, header_length, sniff
from synapse_sync.errors import IntegrityError, RefusedFormat, WrongContent
from synapse_sync.transfer.want import Want

_SNIFF_BYTES = 512
_PAGE_BYTES = 64 << 10
_WHAT = {"html": "a web page", "json": "a JSON document", "pickle": "a pickle", "zip": "a zip archive"}


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
        if format not in DOCUMENT_FORMATS and (found == "html" or (found == "json" and format != "other")):
            raise WrongContent(
                f"`{name}` is {_WHAT[found]}, not a model",
                hint="the site probably wants a token, or the link is no direct download link",
                body=(first + file.read(_PAGE_BYTES)).decode("utf-8", "replace"),
            )
        if format in ("safetensors", "gguf") and found != format:
            if found in ("pickle", "zip") and not allow_pickle:
                raise RefusedFormat(f"`{name}` calls itself {format} and is {_WHAT[found]}; refused", subject=name)
            if format == "gguf":
                raise IntegrityError(f"`{name}` is not a GGUF file")
        if format == "safetensors":
            try:
                whole = 8 + header_length(first[:8], size)
                check_header(first + file.read(max(0, whole - len(first))), size)
            except ValueError as error:
                raise IntegrityError(f"`{name}` is not a valid safetensors file: {error}") from error
        if found == "pickle" and format not in ("pickle",) and not allow_pickle:
            raise RefusedFormat(f"`{name}` is a pickle, which can run code when it is loaded; refused",
                                hint="prefer a safetensors file, or say `allow-pickle = true`")  # fmt: skip

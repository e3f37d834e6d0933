"""The header of a file of weights: names, types and shapes of its tensors, and its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from synapse_sync.core.content import HEAD, Content, identify, kind_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.gguf import read_gguf
from synapse_sync.core.pickled_tensors import read_tensors
from synapse_sync.core.safetensors import read_checked, read_safetensors
from synapse_sync.core.zip_members import Read

#: The type of a tensor as its format spells it ("BF16", "Q4_K"), and its sizes, outermost first.
Tensor = tuple[str, tuple[int, ...]]

#: GGUF files with a vocabulary have headers of some megabytes; beyond this, only the first pairs are used.
_GGUF_FIRST, _GGUF_MOST = 1 << 20, 64 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one file.

    `format` is "safetensors", "gguf" or "pickle". `tensors` maps names to types and shapes; `metadata` maps keys to
    texts.
    """

    format: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def read_header(size: int, read: Read) -> Header | None:
    """Read the header of a file of `size` bytes; None for a format that has none.

    For a file of `torch.save`, the list of its tensors is the header; nothing is unpickled. `read(start, count)`
    returns up to that many bytes of the file. Raises `ValueError` for a damaged header. The data of the tensors may
    be missing: only the header is read.
    """
    first = read(0, 9)
    if first[:4] == b"GGUF":
        return _gguf(size, read)
    if first[:4] == b"PK\x03\x04" or (first[:1] == b"\x80" and first[8:9] != b"{"):
        found = read_tensors(size, read)
        return Header("pickle", found) if found else None
    if first[8:9] != b"{":
        return None
    tensors, metadata = read_safetensors(size, read)
    return Header("safetensors", tensors, metadata)


def read_content(size: int, read: Read) -> tuple[Content, Header | None]:
    """The content of a file of `size` bytes, and its header if it is a whole file of weights; both in one pass.

    None stands for a format that has no header, and for one that cannot be read.
    """
    if kind_of(read(0, HEAD)) == "safetensors":
        try:
            return Content("safetensors"), Header("safetensors", *read_checked(size, read))
        except ValueError as error:
            return Content("safetensors", str(error)), None
    content = identify(size, read)
    try:
        return content, read_header(size, read) if content.is_weights else None
    except ValueError:
        return content, None


def header_end(first: bytes) -> int:
    """Where the header of a file ends, as its first bytes say; 1 MiB for GGUF, which does not say it."""
    if first[:4] == b"GGUF":
        return _GGUF_FIRST
    return 8 + int.from_bytes(first[:8], "little") if first[8:9] == b"{" else len(first)


def _gguf(size: int, read: Read) -> Header:
    step = _GGUF_FIRST
    while True:
        data = read(0, step)
        outline = read_gguf(data, size)
        if outline.whole or step >= _GGUF_MOST or len(data) < step:
            return Header("gguf", outline.tensors, outline.metadata)
        step *= 2

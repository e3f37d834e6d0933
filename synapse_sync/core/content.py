"""Content: the one answer to "what are these bytes", by the bytes alone. Names and headers are not looked at."""

from __future__ import annotations

import re

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.gguf import Longer, check_gguf
from synapse_sync.core.onnx import outline
from synapse_sync.core.pickles import NUMPY, has_objects, is_long_pickle, is_pickle, lists_pickles, unpacked_head
from synapse_sync.core.safetensors import MAX_HEADER, check_safetensors
from synapse_sync.core.zip_members import Read

#: Bytes at the beginning that decide the kind.
HEAD = 4096
#: Bytes at the end in which a zip archive has its last record, whatever its comment.
_TAIL = 22 + 0xFFFF
#: The header of a GGUF file is read in steps that double up to this; beyond it the file is believed.
_GGUF_STEP, _GGUF_MOST = 1 << 20, 64 << 20

#: The bytes of a block of bzip2, which is unpacked as a whole, and the most of a zip archive's directory.
_BLOCK, _DIRECTORY_MOST = 1 << 20, 16 << 20
#: torch before 1.6 wrote several pickles and raw data behind them; its files do not end with a pickle's STOP.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
#: Web pages, and the XML error documents of storage services.
_MARKUP = re.compile(rb"<(!doctype html|html|head|body|script|\?xml|!--|error\b)")
#: The first line of a Git LFS pointer, also of those before version 1 (git-lfs, docs/spec.md).
_POINTER = re.compile(rb"version https?://(git-lfs\.github\.com|hawser\.github\.com|git-media\.io)/(spec/)?v")
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
#: A script by its first line, programs of Windows, Linux and macOS (and Java classes) by their magic.
_PROGRAMS = (
    b"#!", b"MZ", b"\x7fELF", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
)  # fmt: skip
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd")
#: Control characters that no text has; tab, line feed, form feed, return and escape are in some.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")

#: The kinds that are words for people or programs, and never weights.
DOCUMENTS = frozenset({"empty", "lfs-pointer", "html", "json", "text", "image"})

#: The kinds that are weights for certain. Other binary data may be anything, an index of git or a database.
WEIGHTS = frozenset({"safetensors", "gguf", "onnx", "pickle"})


@dataclass(frozen=True, slots=True)
class Content:
    """The kind of some bytes, and why they cannot be a whole file of that kind.

    `kind` is one of
    - "safetensors", "gguf", "onnx";
    - "pickle": torch's zip archives, too;
    - "pickled": a compressed pickle, an array of objects, or a zip archive with any of them;
    - "zip", and "archive" for gzip, xz, 7-Zip and others;
    - "program": scripts that name theirs, too;
    - "html": XML error documents, too;
    - "json", "lfs-pointer", "text", "image", "empty", "unknown".

    `fault` is None for a file that may be whole.
    """

    kind: str
    fault: str | None = None

    @property
    def is_weights(self) -> bool:
        """Whether the bytes are a whole file of weights for certain."""
        return self.kind in WEIGHTS and self.fault is None


def identify(size: int, read: Read) -> Content:
    """Say what a file of `size` bytes is; `read(start, count)` returns up to that many of its bytes."""
    if size == 0:
        return Content("empty")
    first = read(0, HEAD)
    kind = kind_of(first, whole=size <= len(first))
    if kind in ("text", "unknown") and is_pickle(first) is None and is_long_pickle(size, read):
        kind = "pickle"
    if kind == "text" and size > len(first) and not _is_text(read(max(0, size - HEAD), HEAD)):
        kind = "unknown"  # a header of words before other data
    match kind:
        case "safetensors":
            return Content(kind, _safetensors_fault(size, read))
        case "gguf":
            return Content(kind, _gguf_fault(size, read))
        case "zip" | "pickle" if first.startswith(b"PK"):
            return _zip_content(size, read, kind)
        case "pickle":
            ends = first.startswith(_OLD_TORCH) or read(size - 1, 1) == b"."
            return Content(kind, None if ends else "it ends before its pickle does")
        case "archive" if _packs_pickle(first, read):
            return Content("pickled")
        case "archive":
            return Content(kind, _archive_fault(size, first, read))
        case "unknown" if first.startswith((b"x", b"]")) and _packs_pickle(first, read):
            return Content("pickled")
        case "unknown" if first.startswith(NUMPY):
            return Content("pickled" if has_objects(read) else kind)
        case "unknown":
            whole = outline(size, read)
            return Content(kind) if whole is None else Content("onnx", _CUT if whole == "cut" else None)
    return Content(kind)


_CUT = "it ends too early"


def identify_bytes(data: bytes) -> Content:
    """Say what these bytes are, which are all of the file."""
    return identify(len(data), lambda start, count: data[start : start + count])


def kind_of(first: bytes, *, whole: bool = False) -> str:
    """The kind that a file's first bytes show, like `Content.kind`; `whole` says that these are all its bytes."""
    if not first:
        return "empty" if whole else "unknown"
    if first.startswith(b"GGUF"):
        return "gguf"
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        # torch's archives begin with the pickle that they are about.
        return "pickle" if b"data.pkl" in first else "zip"
    if first.startswith(_ARCHIVES):
        return "archive"
    if first.startswith(_IMAGES) or (first[:4] == b"RIFF" and first[8:12] == b"WEBP"):
        return "image"
    if len(first) > 8 and first[8:9] == b"{" and 2 <= int.from_bytes(first[:8], "little") <= MAX_HEADER:
        return "safetensors"
    if first.startswith(_PROGRAMS):
        return "program"
    if is_pickle(first, whole=whole):
        return "pickle"
    if first[257:262] == b"ustar":
        return "archive"
    if _POINTER.match(first):
        return "lfs-pointer"
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    if _MARKUP.match(text):
        return "html"
    if not _is_text(first):
        return "unknown"
    return "json" if text.startswith((b"{", b"[")) else "text"


def _packs_pickle(first: bytes, read: Read) -> bool:
    """Whether a compressed file is a pickle, as those of joblib are."""
    head = unpacked_head(first, HEAD) or (unpacked_head(read(0, _BLOCK), HEAD) if first[:3] == b"BZh" else b"")
    return is_pickle(head) is True


def _is_text(data: bytes) -> bool:
    """Whether these bytes are words: in UTF-8, in UTF-16 with its mark, or in an older encoding."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        words = data.decode("utf-16", "ignore")  # the last character may be cut in two
        return all(char.isprintable() or char.isspace() or char == "\ufeff" for char in words)
    return _NO_TEXT.search(data) is None


def _safetensors_fault(size: int, read: Read) -> str | None:
    try:
        check_safetensors(size, read)
    except ValueError as error:
        return str(error)
    return None


def _gguf_fault(size: int, read: Read) -> str | None:
    step = _GGUF_STEP
    while True:
        try:
            check_gguf(read(0, step), size)
        except ValueError as error:
            return str(error)
        except Longer:
            step *= 2
            if step <= _GGUF_MOST:
                continue
        return None


def _zip_content(size: int, read: Read, kind: str) -> Content:
    """A zip archive by the record at its end, which a file that was cut off lacks."""
    tail = read(max(0, size - _TAIL), _TAIL)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        return Content(kind, "its directory at the end is missing")
    length, offset = (int.from_bytes(tail[at + start : at + start + 4], "little") for start in (12, 16))
    here = end = size - len(tail) + at
    comment = int.from_bytes(tail[at + 20 : at + 22], "little")
    if at + 22 + comment > len(tail):
        return Content(kind, _CUT)
    if 0xFFFFFFFF not in (length, offset) and offset + length > here:
        return Content(kind, "its directory does not fit into it")
    if kind == "pickle":
        return Content(kind)
    if 0xFFFFFFFF in (length, offset):  # the numbers are in the record of zip64, before its locator (4.3.14)
        end = here - 20 - 56
        length = int.from_bytes(read(max(0, end) + 40, 8), "little")
    if length > _DIRECTORY_MOST:
        return Content("pickled")  # it may be: nobody would read on
    return Content("pickled" if lists_pickles(read(max(0, end - length), length)) else kind)


def _archive_fault(size: int, first: bytes, read: Read) -> str | None:
    if first.startswith(b"\x1f\x8b") and size < 18:
        return _CUT
    if first.startswith(b"\xfd7zXZ\x00") and (size < 32 or not read(size - 32, 32).rstrip(b"\0").endswith(b"YZ")):
        return _CUT
    if first.startswith(b"7z"):
        offset, length = (int.from_bytes(first[start : start + 8], "little") for start in (12, 20))
        return None if 32 + offset + length <= size and size >= 32 else _CUT
    return None

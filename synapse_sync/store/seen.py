"""Seen: a complete receipt once more, in the form in which the stats of ten thousand files are compared quickest.

It lies beside its receipt and holds only while that is the very file it was made from. Whoever finds it missing,
old or damaged reads the receipt instead: that takes four times as long and knows everything.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from array import array
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synapse_sync.store.receipt import ReceiptEntry

_MAGIC = "synapse seen 1"


def seen_path(receipt: str) -> str:
    """The file that goes with a receipt."""
    return f"{receipt.removesuffix('.json')}.seen"


def seen_bytes(receipt: str, complete: str, entries: Collection[ReceiptEntry]) -> bytes:
    """What to write beside the receipt file that was just written; its stat is taken now."""
    numbers = array("q")
    for entry in entries:
        numbers.extend((entry.size, entry.mtime_ns, _signed(entry.inode)))
    if sys.byteorder == "big":
        numbers.byteswap()
    names = "\0".join([entry.path for entry in entries] + [entry.link or "" for entry in entries])
    text = names.encode("utf-8", "surrogateescape")
    head = f"{_MAGIC} {complete} {_mark(receipt)} {len(entries)} {len(text)}\n"
    return head.encode() + text + numbers.tobytes()


def count_seen(receipt: str, complete: str, base: str) -> int | None:
    """How many files below `base` all look as they did; None if one does not, or if nothing is known here."""
    try:
        with open(seen_path(receipt), "rb") as file:
            head = file.readline(300).decode("ascii").split(" ")
            if head[:-2] != [*_MAGIC.split(" "), complete, *_mark(receipt).split(" ")]:
                return None
            count, length = int(head[-2]), int(head[-1])
            text, rest = file.read(length), file.read()
        names = text.decode("utf-8", "surrogateescape").split("\0") if count else []
        numbers = array("q", rest)
    except (OSError, ValueError, UnicodeDecodeError):
        return None
    if len(names) != 2 * count or len(numbers) != 3 * count:
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    with contextlib.suppress(OSError):
        rows = zip(names[:count], names[count:], numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        if all(_is_same(f"{base}/{path}", link, *looks) for path, link, *looks in rows):
            return count
    return None


def _is_same(path: str, link: str, size: int, mtime_ns: int, inode: int) -> bool:
    found = os.lstat(path)
    if link:
        if not stat.S_ISLNK(found.st_mode) or os.readlink(path) != link:
            return False
        found = os.stat(path)
    return (
        found.st_size == size
        and found.st_mtime_ns == mtime_ns
        and _signed(found.st_ino) == inode
        and stat.S_ISREG(found.st_mode)
    )


def _mark(receipt: str) -> str:
    """What tells one state of a receipt file from every other: it is only ever replaced by a new file."""
    found = os.stat(receipt)
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def _signed(inode: int) -> int:
    """An inode as it fits into 64 bits with a sign; network file systems use them all."""
    return inode - (1 << 64) if inode >> 63 else inode

"""The index of git: which symbolic links a repository tracks. Pure: bytes in, paths out.

The format is in git's `Documentation/gitformat-index.txt`: versions 2 to 4, with ids of SHA-1 or SHA-256.
"""

from __future__ import annotations

from synapse_sync.core.frozen import dataclass

_LINK = 0o120000
_KIND = 0o170000
#: Ten numbers of 32 bits come before the id of an entry; the mode is the seventh.
_STAT_BYTES, _MODE_AT = 40, 24
_EXTENDED, _LENGTH = 0x4000, 0x0FFF


@dataclass(frozen=True, slots=True)
class Index:
    """The symbolic links in an index, by their paths in the work tree.

    `base` is the name of the file that a split index continues, or None.
    """

    links: frozenset[str]
    base: str | None = None


def read_index(data: bytes) -> Index:
    """Read an index; raises `ValueError`."""
    if data[:4] != b"DIRC" or len(data) < 12:
        raise ValueError("not an index of git")
    version, count = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    if version not in (2, 3, 4):
        raise ValueError(f"an index of git in version {version}")
    for id_bytes in (20, 32):
        try:
            links, end = _links(data, version, count, id_bytes)
            return Index(links, _base(data, end, id_bytes))
        except ValueError:
            continue
    raise ValueError("a damaged index of git")


def _links(data: bytes, version: int, count: int, id_bytes: int) -> tuple[frozenset[str], int]:
    """The links, and the position after the last entry."""
    found: set[str] = set()
    at, end, name = 12, len(data) - id_bytes, b""
    for _ in range(count):
        start, flags_at = at, at + _STAT_BYTES + id_bytes
        if flags_at + 2 > end:
            raise ValueError("cut off")
        mode = int.from_bytes(data[at + _MODE_AT : at + _MODE_AT + 4], "big")
        flags = int.from_bytes(data[flags_at : flags_at + 2], "big")
        at = flags_at + (4 if flags & _EXTENDED and version > 2 else 2)
        if version == 4:
            cut, at = _number(data, at)
            if cut > len(name):
                raise ValueError("a name that begins nowhere")
        stop = data.find(b"\0", at, end)
        if stop < 0 or mode & _KIND not in (_LINK, 0o100000, 0o160000, 0o040000):
            raise ValueError("not an entry")
        name = (name[: len(name) - cut] if version == 4 else b"") + data[at:stop]
        if flags & _LENGTH not in (len(name), _LENGTH):
            raise ValueError("a name of another length")  # the ids are of the other kind
        at = stop + 1 if version == 4 else start + (stop - start + 8) // 8 * 8
        if mode & _KIND == _LINK:
            found |= {name.decode("utf-8", "surrogateescape")} - {""}  # a split index repeats no names
    return frozenset(found), at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, as in offsets of a pack, and the position after it."""
    value = data[at] & 0x7F if at < len(data) else 0
    while at < len(data) and data[at] & 0x80:
        at += 1
        value = (value + 1) << 7 | (data[at] & 0x7F if at < len(data) else 0)
    return value, at + 1


def _base(data: bytes, at: int, id_bytes: int) -> str | None:
    """The name of the shared index that the extension `link` of a split one names; `at` is the first extension."""
    while at + 8 <= len(data) - id_bytes:
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] == b"link":
            return f"sharedindex.{data[at + 8 : at + 8 + id_bytes].hex()}"
        at += 8 + size
    return None

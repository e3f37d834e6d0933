"""Bundles: one tar archive with all that a project needs on a machine without a network. Pure.

The members are in one order, each with the same mode and without a time or an owner, so that equal content has
equal bytes. The first member lists the names and digests of all others, in the form of `sha256sum`: a machine
without synapse unpacks a bundle with tar and checks it with `sha256sum -c SHA256SUMS`. The headers are those of the
pax format (POSIX.1-2001): sizes from 8 GiB on and long names are in an extended header of their own.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.names import SafePath
from synapse_sync.core.tar import BLOCK, file_header
from synapse_sync.errors import IntegrityError, UnsafeName

LIST = "SHA256SUMS"
#: The folder of each kind of member, in their order. Those of the project come first, since they say what follows.
PROJECT, INCLUDES, PREVIEWS, DOCUMENTS, BLOBS = "project", "includes", "previews", "documents", "blobs"
_ORDER = (PROJECT, INCLUDES, PREVIEWS, DOCUMENTS, BLOBS)
#: A whole archive is a multiple of this many bytes.
RECORD = 20 * BLOCK
#: The most bytes of an extended header: a path of a project has far fewer.
MOST_EXTENDED = 16 * BLOCK
#: The largest members that are held in memory, in bytes: the list, and texts of a project.
MOST_TEXT, MOST_SMALL = 64 << 20, 64 << 20
_FIRST, _END = "# synapse bundle ", "# end "
VERSION = 1
_WITHOUT = re.compile(r"# without ([0-9a-f]{64})\Z")
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)\Z")
_MADE_ANEW = "make the bundle anew with `synapse bundle`, and copy it once more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a bundle: its name, and the SHA-256 of its content in hexadecimal."""

    name: str
    sha256: str

    @property
    def kind(self) -> str:
        """The folder: one of `project`, `includes`, `previews`, `documents` and `blobs`."""
        return self.name.partition("/")[0]

    @property
    def path(self) -> str:
        """The name in its folder."""
        return self.name.partition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The list of a bundle: its members in their order, and the SHA-256 of blobs that were left out of it."""

    members: tuple[Member, ...]
    without: tuple[str, ...] = ()

    def of(self, kind: str) -> tuple[Member, ...]:
        """The members of one kind."""
        return tuple(member for member in self.members if member.kind == kind)


def contents_of(members: Sequence[Member], without: Sequence[str] = ()) -> Contents:
    """The list for these members, in any order."""
    return Contents(members=tuple(sorted(members, key=_rank)), without=tuple(sorted(without)))


def _rank(member: Member) -> tuple[int, str]:
    return _ORDER.index(member.kind), member.path


def contents_text(contents: Contents) -> bytes:
    """Write the list; `sha256sum` passes over the lines that begin with `#`."""
    lines = [f"{_FIRST}{VERSION}", *(f"# without {sha256}" for sha256 in contents.without)]
    lines += [f"{member.sha256}  {member.name}" for member in contents.members]
    return with_end("".join(f"{line}\n" for line in lines).encode())


def with_end(lines: bytes) -> bytes:
    """The lines of a list with their own digest as the last one: nothing promises the list but itself."""
    return lines + f"{_END}{hashlib.sha256(lines).hexdigest()}\n".encode()


def parse_contents(data: bytes) -> Contents:
    """Read the list of a bundle, which may come from anybody; raises `IntegrityError`.

    Only the text that `contents_text` writes is accepted: members in their order, each once, each with a safe name.
    """
    try:
        first, *lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise damaged(f"{LIST} is not UTF-8") from None
    _check_version(first)
    without = tuple(found[1] for line in lines if (found := _WITHOUT.match(line)) is not None)
    members = tuple(_member(line) for line in lines[len(without) : -2])
    contents = Contents(members=members, without=without)
    ordered = list(map(_rank, members))
    if any(one >= other for one, other in itertools.pairwise(ordered)) or (
        contents_text(contents_of(members, without)) != data
    ):
        raise damaged(f"{LIST} is not as synapse writes it")
    return contents


def _check_version(first: str) -> None:
    number = first.removeprefix(_FIRST)
    if number == first:
        raise damaged(f"{LIST} does not begin with `{_FIRST.strip()}`")
    if number != str(VERSION):
        raise IntegrityError(
            f"the bundle has format {number[:8]!r}, and this synapse reads format {VERSION}",
            hint="upgrade synapse (`pip install -U synapse-sync`)",
        )


def _member(line: str) -> Member:
    """The member of one line; raises `IntegrityError`."""
    found = _LINE.match(line)
    if found is None:
        raise damaged(f"{LIST} has a line that is no digest with a name")
    member = Member(name=found[2], sha256=found[1])
    if member.kind not in _ORDER or not _is_named_right(member):
        raise damaged(f"{LIST} has a member with a wrong name")
    return member


def _is_named_right(member: Member) -> bool:
    """Whether the name of a member is one that synapse writes, and safe as a path."""
    if member.kind == BLOBS:
        return member.path == member.sha256
    if member.kind == INCLUDES:
        return member.path == f"{member.sha256}.toml"
    if member.kind != PROJECT:
        return is_sha256(member.path)
    try:
        SafePath(member.path)
    except UnsafeName:
        return False
    return True


def damaged(what: str) -> IntegrityError:
    """The error for a bundle that is not as synapse wrote it; `what` is a sentence without a full stop."""
    return IntegrityError(f"the bundle is damaged, or no bundle: {what}", hint=_MADE_ANEW)


# -- the archive -------------------------------------------------------------------------------------


def filling(size: int, unit: int = BLOCK) -> int:
    """How many bytes follow `size` bytes up to a whole number of units."""
    return -size % unit


def extended_size(block: bytes) -> int:
    """The bytes of the extended header that the first block of a header announces, with its padding; 0 for none.

    Raises `IntegrityError` for more than `MOST_EXTENDED`.
    """
    if block[156:157] != b"x":
        return 0
    size = _octal(block)
    if size is None or size > MOST_EXTENDED:
        raise damaged("a header of a member is too large")
    return size + filling(size)


def size_in(header: bytes, name: str) -> int:
    """The size of the member `name`, from its whole header; raises `IntegrityError` for any other header.

    Only the bytes that `file_header` writes are accepted: no links, devices, folders, sparse files or owners, and
    no keys of extended headers but path and size.
    """
    stated = re.search(rb"(?:\A|\n)[0-9]{2} size=([0-9]{1,19})\n", header[BLOCK:-BLOCK])
    size = int(stated[1]) if stated is not None else _octal(header[-BLOCK:])
    if size is None or file_header(name, size) != header:
        raise damaged(f"where `{name}` should begin, something else is")
    return size


def _octal(block: bytes) -> int | None:
    """The size field of one block; None if it is no octal number."""
    digits = block[124:135]
    return int(digits, 8) if re.fullmatch(rb"[0-7]{11}", digits) else None


def archive_size(contents: Contents, sizes: Sequence[int]) -> int:
    """The bytes of the whole archive; `sizes` are those of the members, in their order."""
    text = len(contents_text(contents))
    pairs = [(LIST, text), *((m.name, size) for m, size in zip(contents.members, sizes, strict=True))]
    total = sum(len(file_header(name, size)) + size + filling(size) for name, size in pairs) + 2 * BLOCK
    return total + filling(total, RECORD)

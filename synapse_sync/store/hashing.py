"""The digests of files at rest. The SHA-256 is the one that decides in the store, the trees and the receipts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from synapse_sync.blocks import new_block
from synapse_sync.core.frozen import dataclass
from synapse_sync.store.durable import SHARED, narrowed

_CHUNK, _LEAST_CHUNK = 1 << 20, 1 << 14
#: A blob of this size (bytes) is verified sooner by its BLAKE3 than by its SHA-256.
WORTH_BLAKE3 = 8 << 20


@dataclass(frozen=True, slots=True)
class Question:
    """Does the file at `path` have the content of this digest?

    `blake3` is the BLAKE3 of that content, if it is known. With `mapped`, the file may be read through a memory
    map: nobody truncates it meanwhile. It can be pickled, for another machine that has the same paths.
    """

    path: Path
    sha256: str
    blake3: str | None = None
    mapped: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the content is right. `blake3` is that of right content, where it was not known before.

    `size` in bytes and `mtime_ns` are those of the file before it was read. An unreadable file is not right.
    """

    right: bool
    size: int = 0
    mtime_ns: int = 0
    blake3: str | None = None


def hash_file(path: Path) -> str:
    """The SHA-256 of a file in lower-case hexadecimal; links are followed. Raises `OSError`."""
    digest = hashlib.sha256()
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def chunks(path: Path) -> Iterator[memoryview]:
    """The content of a file in pieces of a mebibyte; each piece is valid until the next one. Raises `OSError`."""
    with path.open("rb", buffering=0) as file:
        # Python fills a new buffer with zeros: a whole one takes longer than hashing a small file.
        size = os.fstat(file.fileno()).st_size
        buffer = new_block(min(_CHUNK, max(_LEAST_CHUNK, size)))
        while count := file.readinto(buffer):
            yield buffer[:count]


def copy_and_hash(source: Path, copy: Path, advanced: Callable[[int], None]) -> tuple[str, str]:
    """Copy a file to a new one; returns SHA-256 and BLAKE3 of the written bytes, in lower-case hexadecimal.

    `advanced` is called with the number of bytes of each piece. Raises `OSError`.
    """
    from blake3 import blake3

    digest, other = hashlib.sha256(), blake3()
    # From the first byte on, nobody reads the copy who could not read the source.
    mode = narrowed(SHARED, source.stat())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(copy, flags, mode), "wb", buffering=0) as outside:
        for chunk in chunks(source):
            digest.update(chunk)
            other.update(chunk)
            advanced(len(chunk))
            while chunk:
                chunk = chunk[outside.write(chunk) :]
    return digest.hexdigest(), other.hexdigest()


def blake3_of(path: Path, *, mapped: bool) -> str:
    """The BLAKE3 of a file; `mapped` reads it through a memory map, which a truncation meanwhile would crash."""
    from blake3 import blake3

    digest = blake3(max_threads=blake3.AUTO)
    if mapped:
        return digest.update_mmap(path).hexdigest()
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def both_of(path: Path, advanced: Callable[[int], None] = lambda count: None) -> tuple[str, str]:
    """SHA-256 and BLAKE3 of a file, read once; `advanced` hears how many more bytes were read."""
    from blake3 import blake3

    digest, other = hashlib.sha256(), blake3()
    for chunk in chunks(path):
        digest.update(chunk)
        other.update(chunk)
        advanced(len(chunk))
    return digest.hexdigest(), other.hexdigest()


def answer_to(question: Question) -> Answer:
    """Hash a file and compare; raises `OSError`."""
    found = question.path.stat()
    right, blake3 = _is_right(question, found.st_size)
    return Answer(right, found.st_size, found.st_mtime_ns, blake3)


def answer_or_no(question: Question) -> Answer:
    """The same for a file that may be elsewhere for this process, or not readable: the answer is no then."""
    try:
        return answer_to(question)
    except OSError:
        return Answer(right=False)


def _is_right(question: Question, size: int) -> tuple[bool, str | None]:
    """Whether the content is right, and its BLAKE3 where that was learned."""
    path, sha256 = question.path, question.sha256
    # A wrong BLAKE3 may be a wrong note: the SHA-256 has the last word.
    if question.blake3 is not None and blake3_of(path, mapped=question.mapped) == question.blake3:
        return True, None
    if not question.mapped or size < WORTH_BLAKE3:
        return hash_file(path) == sha256, None
    found, blake3 = both_of(path)
    return found == sha256, blake3 if found == sha256 else None

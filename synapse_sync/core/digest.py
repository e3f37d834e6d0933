"""Digests: hash values that identify bytes."""

from __future__ import annotations

import re

from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import InvalidReference

#: Hexadecimal digits of each algorithm. Only digests of at least 40 digits prove integrity; the others are look-up
#: keys of Civitai. AutoV2 is the beginning of the file's SHA-256, AutoV3 that of the SHA-256 of its tensor data.
LENGTHS = {
    "autov1": 8,
    "autov2": 10,
    "autov3": 12,
    "blake3": 64,
    "crc32": 8,
    "git-sha1": 40,
    "sha256": 64,
}
_HEX = re.compile(r"[0-9a-f]+\Z")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A hash value with the name of its algorithm; `value` is lower-case hexadecimal."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:…`, `blake3:…`, `autov2:…` in any case; raises `InvalidReference`."""
        algorithm, _, value = text.strip().lower().partition(":")
        if algorithm not in LENGTHS:
            known = ", ".join(sorted(LENGTHS))
            raise InvalidReference(f"`{text}`: unknown hash algorithm `{algorithm}`", hint=f"one of {known}")
        if len(value) != LENGTHS[algorithm] or not _HEX.match(value):
            wanted = LENGTHS[algorithm]
            raise InvalidReference(f"`{text}`: {algorithm} has {wanted} hexadecimal digits, this has {len(value)}")
        return cls(algorithm, value)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


def is_sha256(text: object) -> bool:
    """Whether this is a SHA-256 in lower-case hexadecimal, as the lockfile writes it."""
    return isinstance(text, str) and len(text) == 64 and _HEX.match(text) is not None


def is_git_sha1(text: object) -> bool:
    """Whether this is git's hash of a file in lower-case hexadecimal."""
    return isinstance(text, str) and len(text) == 40 and _HEX.match(text) is not None

"""Shards: one of N equal parts of the work, for job arrays. Each is known without the others. Pure."""

from __future__ import annotations

import hashlib
import re

from synapse_sync.core.frozen import dataclass

#: More shards than any array of jobs has.
MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `count`, from 1 on."""

    number: int = 1
    count: int = 1

    def has(self, key: str) -> bool:
        """Whether an item belongs to this part: by the SHA-256 of its key, so everywhere and at any time alike.

        The key of a file in the store is its digest, that of any other file its path.
        """
        if self.count == 1:
            return True
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard()


def parse_shard(text: str) -> Shard:
    """Read `2/5`, part 2 of 5; raises `ValueError`."""
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text.strip(), re.ASCII)
    if found is None:
        raise ValueError(f"`{text}` is not a part like 2/5")
    number, count = int(found[1]), int(found[2])
    if not 1 <= number <= count <= MOST:
        raise ValueError(f"`{text}`: the parts of {count} are 1/{count} to {count}/{count}")
    return Shard(number, count)

"""Notes on blobs: how each looked when it was hashed, its BLAKE3 if that was computed, and its origin."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from synapse_sync.store.durable import SHARED, make_dirs, remove, where_writable, write_atomic
from synapse_sync.store.owners import Owners
from synapse_sync.user.small_files import read_small


class Notes:
    """The notes below `root`. One of an owner whom `owners` do not trust counts as none."""

    def __init__(self, root: Path, owners: Owners) -> None:
        self._root = root
        self._owners = owners

    def of(self, sha256: str, *, anyone: bool = False) -> dict[str, Any]:
        """The note on a blob, empty if it is missing, damaged, or of another user unless `anyone` will do."""
        try:
            trust = None if anyone else self._owners.trust
            value = json.loads(read_small(self._path(sha256), trust=trust))
        except (OSError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def add(self, sha256: str, found: os.stat_result, **more: str | None) -> None:
        """Remember that the content was right when the blob looked like `found`, and what is known beside that."""
        fresh: dict[str, Any] = {key: value for key, value in more.items() if value is not None}
        fresh |= {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
        where = self._path(sha256)
        # Not durable, and left out where the store can only be read: without it the blob is hashed once more.
        with where_writable():
            if _write_first(where, _as_json(fresh)):
                return
            known = self.of(sha256)
            if (value := {**known, **fresh}) != known:
                write_atomic(Path(where), _as_json(value), durable=False)

    def forget(self, sha256: str) -> None:
        """Remove the note on a blob, if there is one. Raises `OSError`."""
        remove(Path(self._path(sha256)), missing_ok=True)

    def _path(self, sha256: str) -> str:
        return f"{self._root}/meta/{sha256[:2]}/{sha256}.json"


_as_text = json.JSONEncoder(sort_keys=True).encode  # `json.dumps` makes an encoder for each note


def _as_json(note: dict[str, Any]) -> bytes:
    return _as_text(note).encode()


def _write_first(where: str, data: bytes) -> bool:
    """Write a blob's first note; False if it has one. Not atomically: a truncated note counts as missing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(where, flags, SHARED)
    except FileExistsError:
        return False
    except FileNotFoundError:
        make_dirs(Path(where).parent, durable=False)
        return _write_first(where, data)
    try:
        return os.write(handle, data) == len(data)
    finally:
        os.close(handle)

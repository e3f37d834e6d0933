"""Digests of large files outside of the store, so that they are hashed once and not by every command."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.store.durable import where_writable, write_note
from synapse_sync.store.hashing import both_of, hash_file
from synapse_sync.store.locks import hold, lock_path
from synapse_sync.user.small_files import read_small

_NAME = "digests.json"
#: Smaller files (in bytes) are hashed each time: that takes no longer than remembering them.
_LARGE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """The digests of a file as some process read it: `size` in bytes and `mtime_ns` are those before that."""

    size: int
    mtime_ns: int
    sha256: str
    blake3: str


def digests_at(path: str) -> Seen | None:
    """Hash a file, perhaps on another machine that has the same paths; None if it cannot be read there."""
    try:
        found = Path(path).stat()
        return Seen(found.st_size, found.st_mtime_ns, *both_of(Path(path)))
    except OSError:
        return None


class KnownDigests:
    """The digests that a store remembers, by path and stat. A hint only: a user of the bytes hashes them again."""

    def __init__(self, store: Path) -> None:
        self._path = store / _NAME
        self._known: dict[str, list[Any]] | None = None
        self._changed = False

    def of(self, path: Path) -> str:
        """The SHA-256 of a file, in lower-case hexadecimal; raises `OSError`."""
        found = path.stat()
        if found.st_size < _LARGE:
            return hash_file(path)
        look = [found.st_size, found.st_mtime_ns, found.st_ino]
        known = self._load().get(str(path))
        if known is not None and known[:3] == look:
            return str(known[3])
        digest = hash_file(path)
        self._load()[str(path)] = [*look, digest]
        self._changed = True
        return digest

    def both(self, path: Path, advanced: Callable[[int], None]) -> tuple[str, str]:
        """SHA-256 and BLAKE3 of a file, read once; `advanced` hears how many bytes that was so far.

        Raises `OSError`, and what `advanced` raises. Several threads may call it at once.
        """
        found = path.stat()
        look = [found.st_size, found.st_mtime_ns, found.st_ino]
        known = self._load().get(str(path))
        if known is not None and known[:3] == look and len(known) == 5:
            advanced(found.st_size)
            return str(known[3]), str(known[4])
        digests = both_of(path, advanced)
        if found.st_size >= _LARGE:
            self._load()[str(path)] = [*look, *digests]
            self._changed = True
        return digests

    def has(self, path: Path) -> bool:
        """Whether the digests of a file are known, or the file is too small to be remembered."""
        try:
            found = path.stat()
        except OSError:
            return False
        known = self._load().get(str(path))
        look = [found.st_size, found.st_mtime_ns, found.st_ino]
        return found.st_size < _LARGE or (known is not None and known[:3] == look and len(known) == 5)

    def learn(self, path: Path, seen: Seen) -> bool:
        """Remember digests that another process computed; False if the file looks otherwise here and now."""
        try:
            found = path.stat()
        except OSError:
            return False
        if (found.st_size, found.st_mtime_ns) != (seen.size, seen.mtime_ns):
            return False
        self._load()[str(path)] = [found.st_size, found.st_mtime_ns, found.st_ino, seen.sha256, seen.blake3]
        self._changed = True
        return True

    def save(self) -> None:
        """Write new digests to the store, where that can be written to; files that are gone are dropped.

        What other processes wrote meanwhile stays: each job of an array adds its part. Raises `StorageError`.
        """
        if not self._changed or not self._path.parent.is_dir():
            return
        with hold(lock_path(self._path.parent, "digests"), "the known digests", optional=True, signed=False):
            self._save()

    def _save(self) -> None:
        # Race: other threads learn more meanwhile. This comes first, so that the next save writes it.
        self._changed = False
        known = self._load()
        for path, value in self._read().items():
            known.setdefault(path, value)
        here = {path: value for path, value in known.copy().items() if Path(path).exists()}
        try:
            with where_writable():
                # Not durable: without it a file is only hashed once more.
                write_note(self._path, json.dumps(here).encode("ascii"))
        except BaseException:
            self._changed = True
            raise

    def _load(self) -> dict[str, list[Any]]:
        """The remembered digests, those of this process included."""
        if self._known is None:
            found = self._read()
            if self._known is None:  # race: another thread has read it meanwhile, and may have added to it
                self._known = found
        return self._known

    def _read(self) -> dict[str, list[Any]]:
        """The digests in the file; a damaged one counts as empty."""
        found: dict[str, list[Any]] = {}
        with contextlib.suppress(OSError, ValueError, RecursionError, AttributeError):
            for path, value in json.loads(read_small(self._path)).items():
                # A BLAKE3 as the fifth is newer; it has as many digits.
                if isinstance(value, list) and len(value) in (4, 5) and all(is_sha256(str(d)) for d in value[3:]):
                    found[path] = value
        return found

"""Refused downloads: bytes from the network that were not the wanted ones, kept in quarantine to be looked at.

Upstream or its way here has them, so a collection drops them. Every other file in quarantine was in use on this
machine, may be somebody's only copy, and stays until the user deletes it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.core.digest import is_sha256
from synapse_sync.store.durable import remove, storage_error

if TYPE_CHECKING:
    from synapse_sync.store.partials import Partial

#: The directory of a store for files that are never used again.
QUARANTINE = "quarantine"
#: How many refused downloads of one file are kept: a server whose bytes always differ must not fill the disk.
_MOST = 3
#: The name says what put the file there; earlier versions named both kinds `KEY-NUMBER`, so those count as in use.
_MARK = "-refused-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A file in quarantine: its `size` in bytes, and `since` when it is there, in seconds since the epoch.

    `is_refused` says that it is a refused download.
    """

    path: Path
    size: int
    since: float
    is_refused: bool


def keep_refused(partial: Partial, root: Path, sha256: str) -> Path:
    """Move a complete download whose bytes have the digest `sha256` into quarantine; returns its new path.

    The same bytes are kept once, and of one file the latest few. Raises `StorageError`.
    """
    folder, key = root / QUARANTINE, partial.path.name
    aside = partial.set_aside(folder / f"{key}{_MARK}{sha256}")
    known = [each for each in in_quarantine(root) if each.is_refused and each.path.name.startswith(f"{key}{_MARK}")]
    others = sorted((each for each in known if each.path != aside), key=lambda each: each.since)
    for each in others[: max(0, len(known) - _MOST)]:
        with contextlib.suppress(OSError):  # of another user: it stays until its owner's collection
            remove(each.path)
    return aside


def in_quarantine(root: Path) -> list[Aside]:
    """The files that the store at `root` has in quarantine, by their names; raises `StorageError`."""
    found = []
    try:
        for path in sorted((root / QUARANTINE).iterdir()):
            if path.suffix == ".why" or not path.is_file():
                continue
            look = path.lstat()
            is_refused = is_sha256(path.name.partition(_MARK)[2])
            found.append(Aside(path=path, size=look.st_size, since=look.st_ctime, is_refused=is_refused))
    except FileNotFoundError:  # no quarantine, or another process has just dropped one of its files
        return found
    except OSError as error:
        raise storage_error(error, f"looking into {root / QUARANTINE}") from error
    return found


def drop_refused(aside: Aside) -> int:
    """Remove a refused download; returns the freed bytes. Raises `StorageError`."""
    try:
        remove(aside.path)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise storage_error(error, f"removing {aside.path}") from error
    return aside.size

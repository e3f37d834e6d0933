"""Incoming files: how a file of this machine becomes a blob, by a copy of it or by the file itself."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from synapse_sync.errors import Conflict, IntegrityError
from synapse_sync.store.durable import (
    READ_ONLY,
    fsync_dir,
    fsync_file,
    make_dirs,
    narrowed,
    remove,
    rename_new,
    replace_file,
    set_mode,
)
from synapse_sync.store.hashing import both_of, copy_and_hash
from synapse_sync.store.links import clone_file
from synapse_sync.store.notes import Notes


class Shelf(Protocol):
    """The part of a blob store that incoming files need; `BlobStore` says what each method does."""

    def path(self, sha256: str) -> Path: ...
    def temporary(self) -> Path: ...
    def has(self, sha256: str) -> bool: ...
    def make_way(self, sha256: str) -> None: ...
    def publish(
        self, temp: Path, *, sha256: str, size: int, blake3: str | None, origin: str | None, mode: int
    ) -> Path: ...


def copy_in(
    shelf: Shelf,
    source: Path,
    sha256: str,
    origin: str | None = None,
    advanced: Callable[[int], None] = lambda count: None,
) -> Path:
    """Clone or copy a file into the store, hashed on the way; returns the blob. The source stays.

    `origin` is the reference that can give the bytes again; `advanced` hears how many more bytes were copied.
    Raises `IntegrityError` for another content than `sha256`, and `OSError`.
    """
    temp = shelf.temporary()
    try:
        if clone_file(source, temp):
            found, blake3 = both_of(temp, advanced)
        else:
            found, blake3 = copy_and_hash(source, temp, advanced)
        if found != sha256:
            raise _other_content(source)
        copy = temp.stat()
        mode = narrowed(READ_ONLY, source.stat(), copy)
        return shelf.publish(temp, sha256=sha256, size=copy.st_size, blake3=blake3, origin=origin, mode=mode)
    finally:
        remove(temp, missing_ok=True)


def move_in(shelf: Shelf, notes: Notes, source: Path, sha256: str) -> Path:
    """Hash a file where it is, then rename it into the store; returns the blob.

    It is never anywhere but in its old or its new place. Raises `IntegrityError` for another content than `sha256`,
    `Conflict` for a file that changes meanwhile, and `OSError`; then it stays.
    """
    before = source.lstat()
    found, blake3 = both_of(source)
    if found != sha256:
        raise _other_content(source)
    # If the file has another name, that must not become read-only, nor be able to change the blob: copy then.
    path = shelf.path(sha256)
    if before.st_nlink == 1 and not shelf.has(sha256) and _rename_in(shelf, source, sha256):
        moved = path.lstat()
        if not is_same(before, moved):  # a program wrote to it after it was hashed
            with contextlib.suppress(FileExistsError):
                rename_new(path, source)
            raise _changed_meanwhile(source)
        set_mode(path, narrowed(READ_ONLY, before))
        fsync_dir(path.parent)
        notes.add(sha256, moved, blake3=blake3)
        return path
    if not shelf.has(sha256):
        copy_in(shelf, source, sha256)
    if not is_same(before, source.lstat()):
        raise _changed_meanwhile(source)
    remove(source)
    return path


def is_same(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file was not written to between two looks at it."""
    return (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)


def _rename_in(shelf: Shelf, source: Path, sha256: str) -> bool:
    """Rename a file to its place in the store; False if that is on another file system (or mount of it)."""
    path = shelf.path(sha256)
    shelf.make_way(sha256)
    make_dirs(path.parent)
    fsync_file(source)  # before the rename, or a power loss could leave the name without the bytes
    try:
        replace_file(source, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _changed_meanwhile(source: Path) -> Conflict:
    return Conflict(f"{source} was changed while it was taken into the store; left where it is")


def _other_content(source: Path) -> IntegrityError:
    return IntegrityError(f"{source} does not have the content that was noted for it; left as it is")

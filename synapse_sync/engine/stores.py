"""Stores: the user's stores, one a volume; add one, list them, leave one out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.toml import toml_text
from synapse_sync.core.toml_edit import with_top_key
from synapse_sync.errors import InputError
from synapse_sync.store import links
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import behind_link, make_dirs, storage_error, write_atomic
from synapse_sync.store.project_note import RECORDS
from synapse_sync.store.refused import in_quarantine
from synapse_sync.store.several import device_of
from synapse_sync.user.small_files import content

#: The key of the settings that lists further stores.
KEY = "stores"
#: The directories of a store: one that has them is a store already, and may be added again.
_OWN = ("blobs", "meta", "locks", "partials", RECORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """One store: its number of blobs, their size and the free space of its volume in bytes; or it is not there.

    `set_aside` are the bytes in quarantine.
    """

    path: Path
    main: bool
    here: bool
    blobs: int = 0
    bytes: int = 0
    set_aside: int = 0
    free: int = 0


def states(main: Path, others: Sequence[Path]) -> tuple[StoreState, ...]:
    """The main store and the others, as they are on disk."""
    return tuple(_state(path, main=path == main) for path in (main, *others))


def _state(path: Path, *, main: bool) -> StoreState:
    here = path.is_dir()
    if not here and not main:
        return StoreState(path=path, main=main, here=False)
    sizes = [entry.size for entry in BlobStore(path).entries()]
    aside = sum(each.size for each in in_quarantine(path))
    near = path
    while not near.exists():
        near = near.parent
    try:
        free = shutil.disk_usage(near).free
    except OSError as error:
        raise storage_error(error, f"looking at {near}") from error
    return StoreState(
        path=path, main=main, here=here, blobs=len(sizes), bytes=sum(sizes), set_aside=aside, free=free
    )


def add_store(directory: Path, config: Path | None, known: Sequence[Path], listed: Sequence[Path]) -> None:
    """Make a store in a directory, and list it in the user's settings.

    `known` are all stores of this user, the main one first; `listed` are those that the settings list. Raises
    `InputError` for a directory that cannot be one, or whose volume has a store already, and `StorageError`.
    """
    _check(directory, known)
    try:
        make_dirs(directory)
        links.try_file(directory)
    except OSError as error:
        raise storage_error(error, f"making the store {directory}") from error
    _write(config, (*listed, directory))


def leave_out(directory: Path, config: Path | None, main: Path, listed: Sequence[Path]) -> None:
    """List a store no longer in the user's settings; its files stay. Raises `InputError`, `StorageError`."""
    left = [path for path in listed if not _is_same(path, directory)]
    if len(left) == len(listed):
        if _is_same(main, directory):
            raise InputError(
                f"{directory} is the main store", hint="SYNAPSE_STORE or `store` in the settings set it"
            )
        names = ", ".join(f"`{path}`" for path in listed)
        raise InputError(
            f"the settings list no store {directory}", hint=f"they list {names}" if names else "they list none"
        )
    _write(config, left)


def _check(directory: Path, known: Sequence[Path]) -> None:
    for store in known:
        if _is_same(store, directory):
            raise InputError(
                f"{directory} is one of your stores already", hint="`synapse store list` shows them all"
            )
        if directory.is_relative_to(store) or store.is_relative_to(directory):
            raise InputError(f"{directory} and the store {store} overlap", hint="choose another directory")
    for store in known:
        if store.exists() and device_of(store) == device_of(directory):
            raise InputError(
                f"{directory} is on the same volume as the store {store}, which serves all targets there",
                hint="name a directory on another volume",
            )
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is not a directory", hint="name another one")
    found = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    if found - {"lost+found"} and not found & set(_OWN):
        raise InputError(
            f"{directory} has other files in it",
            hint=f"name a new directory, such as {directory / 'synapse-store'}",
        )


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _write(config: Path | None, stores: Sequence[Path]) -> None:
    if config is None:
        raise InputError(
            "this user has no home directory, so settings cannot be kept",
            hint="set HOME, or set SYNAPSE_CONFIG to the path of a file (it need not exist)",
        )
    value = ", ".join(json.dumps(path.as_posix(), ensure_ascii=False) for path in stores)
    before = content(str(config))
    text = with_top_key(toml_text(before), KEY, f"[{value}]" if stores else None)
    try:
        make_dirs(config.parent)
    except OSError as error:
        raise storage_error(error, f"making {config.parent}") from error
    write_atomic(behind_link(config), text.encode())

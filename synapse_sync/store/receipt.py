"""The receipt: the list of files that synapse placed in a target. Only listed files may be replaced or removed.

`<root>/.synapse/receipt-<key>.json`, one for each project and target that uses the root. Paths in it are checked
like any name from outside: a receipt may have been copied or edited.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass, maker
from synapse_sync.core.look import is_decided
from synapse_sync.core.names import SafePath, is_plain_path
from synapse_sync.errors import InputError, StorageError, UnsafeName
from synapse_sync.store import receipt_log
from synapse_sync.store.durable import (
    SHARED,
    fsync_dir,
    own_directory,
    remove,
    storage_error,
    tree_error,
    write_atomic,
)
from synapse_sync.store.looks import make_tree_dirs
from synapse_sync.store.receipt_index import (
    APART,
    DIRECTORY,
    directory_of,
    index_bytes,
    index_path,
    receipt_paths,
)
from synapse_sync.store.receipt_log import ReceiptLog
from synapse_sync.store.sample import sample_of
from synapse_sync.user.small_files import UnfitFile, read_small

VERSION = 1
#: The fields that every entry has in a file, and those that earlier versions would refuse: they are apart.
_FIELDS = ("path", "sha256", "size", "how", "mtime_ns", "inode", "model", "link", "made")
_MORE = ("ctime_ns", "sample")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptEntry:
    """One placed file: its content, and its stat right after it was placed.

    `size` is in bytes and `mtime_ns`, `inode` are those of the file itself, or of the blob behind a symbolic link;
    `link` is the target of a symbolic link; `how` is a link mode, "adopted", "taken", or for a companion
    "written" or "merged". `made` says what a companion was made from; weights have none. `ctime_ns` is the time of
    the last change of a file whose other time the lockfile decides, else 0. `sample` is that of the file's content,
    in a plain receipt.
    """

    path: str
    sha256: str
    size: int
    how: str
    mtime_ns: int
    inode: int
    model: str
    link: str | None = None
    made: str | None = None
    ctime_ns: int = 0
    sample: str | None = None


_make_entry = maker(ReceiptEntry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """All that one project placed in one target.

    `complete` is the fingerprint of the state it was synced to. `sealed` says that this user's key signed it.
    """

    project: str
    target: str
    entries: Mapping[str, ReceiptEntry] = field(default_factory=dict)
    complete: str | None = None
    sealed: bool = field(default=False, compare=False)


def receipt_path(root: Path, key: str) -> Path:
    """The path of the receipt of a project's target; `key` is `<project key>-<target>`."""
    return Path(directory_of(str(root)), f"receipt-{key}.json")


def state_directory(root: Path) -> Path:
    """Synapse's own directory in a target, made if it is missing, and kept out of version control.

    Raises `Conflict` if it is a link, since nothing may be written outside the target; `StorageError`.
    """
    directory = Path(directory_of(str(root)))
    try:
        make_tree_dirs(root)
        if directory.parent != root:
            own_directory(directory.parent)
        own_directory(directory)
        with contextlib.suppress(FileExistsError):
            handle = os.open(directory / ".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL, SHARED)
            with os.fdopen(handle, "wb") as file:
                file.write(b"*\n")
    except OSError as error:
        raise tree_error(error, f"making {directory}", root) from error
    return directory


def keep_apart(root: Path) -> None:
    """Keep synapse's own directory of a target where the hub's library does not look, also one that exists already.

    Raises `Conflict` if a part of the way is a link, `StorageError`.
    """
    apart, here = root / APART, root / DIRECTORY
    try:
        make_tree_dirs(root)
        own_directory(apart.parent)
        # One rename: the receipts are at the one place or at the other, whenever this is interrupted.
        if not apart.exists() and here.is_dir() and not here.is_symlink():
            here.rename(apart)
            fsync_dir(root)
        own_directory(apart)
    except OSError as error:
        raise tree_error(error, f"making {apart}", root) from error


# -- reading and writing -----------------------------------------------------------------------------


def read(root: Path, key: str, *, seal_with: bytes | None = None) -> Receipt | None:
    """The receipt of one project's target, or None; raises `InputError` for a damaged one, `StorageError`.

    `seal_with` is the secret by which its seal is checked; without one it counts as not sealed.
    """
    path = receipt_path(root, key)
    text = _text(path)
    if text is None:
        return None
    data = _parsed(text, path)
    entries = {entry.path: entry for entry in (_entry(value, path) for value in _whole(data["entries"], data))}
    complete = data.get("complete")
    if len(entries) != len(data["entries"]) or not (complete is None or isinstance(complete, str)):
        raise _bad(path, "it was damaged or edited")
    is_sealed = seal_with is not None and receipt_log.is_sealed(text, seal_with)
    for batch, changed in _logged(path, text, seal_with):
        for gone in batch.gone:
            entries.pop(gone, None)
        entries |= changed
        is_sealed &= batch.sealed
    return Receipt(
        project=key, target=str(data.get("target", "")), entries=entries, complete=complete, sealed=is_sealed
    )


def _logged(
    path: Path, text: bytes, secret: bytes | None = None
) -> Iterator[tuple[receipt_log.Batch, dict[str, ReceiptEntry]]]:
    """The batches of the log after a receipt with this content, each with its entries by path.

    They end before a damaged one: a log is cut off by every crash.
    """
    with contextlib.suppress(InputError):
        for batch in receipt_log.batches(path, text, secret):
            values = _whole(batch.entries, {"more": batch.more})
            yield batch, {entry.path: entry for entry in (_entry(value, path) for value in values)}


def content_of(receipt: Receipt, *, seal_with: bytes | None = None) -> bytes:
    """The content of a receipt's file, sealed with a secret if there is one."""
    data = {
        "version": VERSION,
        "target": receipt.target,
        "complete": receipt.complete,
        "entries": [_as_dict(receipt.entries[path]) for path in sorted(receipt.entries)],
    } | _more(receipt.entries.values())
    content = receipt_log.as_json(data)
    return content if seal_with is None else receipt_log.sealed(content, seal_with)


def write(root: Path, receipt: Receipt, *, seal_with: bytes | None = None) -> ReceiptLog:
    """Write a receipt whole or not at all, sealed with a secret if there is one; raises `StorageError`.

    Returns the log for what changes after it.
    """
    path = state_directory(root) / receipt_path(root, receipt.project).name
    content = content_of(receipt, seal_with=seal_with)
    write_atomic(path, content)
    # After the receipt, which has it all: it no longer counts, and would only take up room.
    with contextlib.suppress(OSError):
        remove(receipt_log.log_path(path), missing_ok=True)
    if receipt.complete is not None:
        # After the receipt, whose stat is part of it. Without the index the next sync takes milliseconds longer.
        with contextlib.suppress(OSError, struct.error, UnicodeError, StorageError):
            entries = [receipt.entries[name] for name in sorted(receipt.entries)]
            index = Path(index_path(str(path)))
            write_atomic(index, index_bytes(str(path), receipt.complete, entries), durable=False)
    return ReceiptLog(path, receipt_log.mark_of(content), len(content))


def log_changes(
    log: ReceiptLog, entries: Mapping[str, ReceiptEntry], changed: Iterable[str], *, seal_with: bytes | None = None
) -> None:
    """Note in the log of a receipt what `entries` have at the `changed` paths; raises `StorageError`."""
    paths = sorted(changed)
    new = [entries[path] for path in paths if path in entries]
    gone = [path for path in paths if path not in entries]
    try:
        log.append({"entries": [_as_dict(entry) for entry in new], "gone": gone} | _more(new), seal_with)
    except OSError as error:
        raise tree_error(error, f"writing {log.receipt.stem}.log", log.receipt.parent) from error


def discard(root: Path, key: str) -> None:
    """Remove the receipt of a target that has nothing placed any more; raises `StorageError`."""
    try:
        remove(receipt_path(root, key), missing_ok=True)
        remove(Path(index_path(str(receipt_path(root, key)))), missing_ok=True)
        remove(receipt_log.log_path(receipt_path(root, key)), missing_ok=True)
    except OSError as error:
        raise tree_error(error, f"removing a receipt in {root}", root) from error


def others(root: Path, *keys: str) -> list[tuple[str, ReceiptEntry]]:
    """The entries of the receipts below this root, except the receipts with these keys; each with its key."""
    return [
        (path.name.removeprefix("receipt-").removesuffix(".json"), ReceiptEntry(**value))
        for path in paths(root, keys)
        for value in _values(path)
    ]


def all_digests(root: Path) -> set[str]:
    """The SHA-256 of everything that any receipt below this root lists."""
    return {sha256 for path in paths(root) for sha256 in digests_of(path)}


def all_values(root: Path) -> Iterator[Mapping[str, Any]]:
    """The values of every entry that any receipt below this root lists."""
    for path in paths(root):
        yield from _values(path)


def digests_of(path: Path) -> set[str]:
    """The SHA-256 of everything that the receipt at `path` lists, its log included."""
    return {value["sha256"] for value in _values(path)}


def paths(root: Path, without: Collection[str] = ()) -> Iterator[Path]:
    """The receipts in a root, except those with the keys `without`."""
    for path in sorted(Path(directory_of(str(root))).glob("receipt-*.json")):
        if path.name.removeprefix("receipt-").removesuffix(".json") not in without:
            yield path


def _values(path: Path) -> list[dict[str, Any]]:
    text = _text(path)
    data = _parsed(text, path) if text is not None else {"entries": []}
    values: list[dict[str, Any]] = list(_whole(data["entries"], data))
    for value in values:
        _entry(value, path)
    # The entries that a log replaces or drops are kept: to hold a file for too long is harmless.
    for batch, _ in _logged(path, text or b""):
        values += _whole(batch.entries, {"more": batch.more})
    return values


def _text(path: Path) -> bytes | None:
    try:
        return read_small(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnfitFile as error:
        raise _bad(path, str(error.strerror)) from error
    except OSError as error:
        raise storage_error(error, f"reading the receipt {path}") from error


def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(path, "it is not valid JSON") from error
    if not isinstance(data, dict):
        raise _bad(path, "it is not a receipt")
    version = data.get("version")
    if type(version) is int and version > VERSION:
        raise InputError(
            f"{path}: written by a newer synapse (format {version}); nothing was removed",
            hint="use the newer synapse here",
        )
    if version != VERSION or not isinstance(data.get("entries"), list):
        raise _bad(path, "it is not a receipt")
    return data


def _bad(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: {why}; nothing was removed",
        hint="move this file away and sync again: files with the right content are adopted, none is removed",
    )


def _as_dict(entry: ReceiptEntry) -> dict[str, object]:
    """The fields of an entry; `asdict` would copy them deeply, which takes ten times as long."""
    return {name: getattr(entry, name) for name in _FIELDS}


def _more(entries: Iterable[ReceiptEntry]) -> dict[str, object]:
    """The further values of entries, by path, under the key of a receipt or of a line of its log."""
    found = {entry.path: {name: value for name in _MORE if (value := getattr(entry, name))} for entry in entries}
    found = {path: values for path, values in found.items() if values}
    return {"more": found} if found else {}


def _whole(values: Iterable[Any], data: Mapping[str, Any]) -> Iterator[Any]:
    """The values of entries with what `_more` wrote about them."""
    more = data.get("more")
    for value in values:
        path = value.get("path") if isinstance(value, dict) else None
        extra = more.get(path) if isinstance(more, dict) and isinstance(path, str) else None
        known = {name: extra[name] for name in _MORE if name in extra} if isinstance(extra, dict) else {}
        yield value | known if known else value


def _entry(value: Any, path: Path) -> ReceiptEntry:
    try:
        entry = _make_entry(**value)
        if not is_plain_path(entry.path):
            SafePath(entry.path)
    except (TypeError, AttributeError, UnsafeName) as error:
        raise _bad(path, f"a damaged or edited entry ({error})") from error
    read: Any = entry  # of the types that the file has
    right = (
        type(read.size) is type(read.mtime_ns) is type(read.inode) is type(read.ctime_ns) is int
        and isinstance(read.path, str)
        and isinstance(read.how, str)
        and isinstance(read.model, str)
        and (read.link is None or isinstance(read.link, str))
        and (read.made is None or isinstance(read.made, str))
        and (read.sample is None or isinstance(read.sample, str))
        and is_sha256(read.sha256)
    )
    if not right:
        raise _bad(path, f"a damaged or edited entry for {entry.path!r}")
    return entry


# -- comparing with the disk -------------------------------------------------------------------------


def note(
    place: Path, *, path: str, sha256: str, how: str, model: str, made: str | None = None, sampled: bool = False
) -> ReceiptEntry:
    """The entry for a file that was just placed, as it looks now; `sampled` is for plain receipts."""
    link, found = None, os.lstat(place)
    if stat.S_ISLNK(found.st_mode):
        link, found = os.readlink(place), os.stat(place)
    return ReceiptEntry(
        path=path, sha256=sha256, size=found.st_size, how=how, mtime_ns=found.st_mtime_ns,
        inode=found.st_ino, model=model, link=link, made=made, sample=sample_of(place) if sampled else None,
        ctime_ns=found.st_ctime_ns if is_decided(found.st_mtime_ns, sha256) else 0,
    )  # fmt: skip


def matches(path: str, entry: ReceiptEntry) -> str:
    """Compare a path with its entry, by stat alone: "same", "missing" or "changed". Raises `OSError`.

    A symbolic link that leads to nothing any more is "changed": the name is still taken.
    """
    try:
        found = _look(path, entry.link)
    except (FileNotFoundError, NotADirectoryError):
        return "changed" if os.path.lexists(path) else "missing"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return "changed"
    if found is None or (found.st_size, found.st_mtime_ns, found.st_ino) != (
        entry.size,
        entry.mtime_ns,
        entry.inode,
    ):
        return "changed"
    return "same"


def _look(path: str, link: str | None) -> os.stat_result | None:
    """The stat of a regular file, or of the one behind the listed link; None for anything else.

    One `lstat`, and for a link its reading and one `stat`: this runs for every placed file in every sync.
    """
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        if link is None or os.readlink(path) != link:
            return None
        found = os.stat(path)
    elif link is not None:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def count_by_receipts(root: str, project: str, complete: str) -> int | None:
    """The number of listed files, if none changed and the receipts are of this complete state; else None.

    `project` is the beginning of the receipts' keys. Entries are not rebuilt as values, and a receipt that is
    damaged in any way says None: the careful way will find out.
    """
    total = 0
    try:
        paths = receipt_paths(root, project)
        for path in paths:
            data = json.loads(read_small(path))
            if data["version"] != VERSION or data["complete"] != complete:
                return None
            if not all(_unchanged(f"{root}/{value['path']}", value) for value in data["entries"]):
                return None
            total += len(data["entries"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return total if paths else None


def _unchanged(path: str, value: Mapping[str, Any]) -> bool:
    found = _look(path, value["link"])
    return found is not None and (
        found.st_size == value["size"] and found.st_mtime_ns == value["mtime_ns"] and found.st_ino == value["inode"]
    )

"""Write previews and sidecars beside the weights, without losing the content of others."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from synapse_sync.core.artifact import stem_of
from synapse_sync.core.companion import ByteFacts, merge, previewed, sidecar_bytes
from synapse_sync.core.names import SafePath
from synapse_sync.errors import Conflict
from synapse_sync.store.durable import own_directory, random_name, remove, rename_new, write_atomic
from synapse_sync.store.receipt import state_directory
from synapse_sync.store.receipt_index import directory_of
from synapse_sync.user.small_files import LARGEST, UnfitFile, read_small

#: The largest sidecar of other programs that is read, in bytes.
_MAX_BYTES = 16 * 1024 * 1024


class OwnPreviews:
    """The users' own previews in one tree: files that a UI would show and that no receipt lists.

    `root` is the directory of the target, `placed` has the full paths of all that receipts list.
    """

    def __init__(self, root: Path, placed: Container[str]) -> None:
        self._root = root
        self._placed = placed
        self._folders: dict[str, dict[str, list[tuple[int, str]]]] = {}

    def beside(self, weights: SafePath) -> SafePath | None:
        """The one that a UI shows for these weights; None if there is none. Each folder is listed once."""
        folder, slash, name = weights.text.rpartition("/")
        for _, found in sorted(self._listed(folder).get(stem_of(name).casefold(), ())):
            if f"{self._root}/{folder}{slash}{found}" not in self._placed:
                return SafePath(f"{folder}{slash}{found}")
        return None

    def _listed(self, folder: str) -> dict[str, list[tuple[int, str]]]:
        """The files of a folder that may be previews, with their ranks, by the stem of the weights."""
        if folder not in self._folders:
            by_stem = self._folders[folder] = {}
            with contextlib.suppress(OSError):  # missing, or not readable: then no preview is known
                for path in (self._root / folder).iterdir():
                    for stem, rank in previewed(path.name):
                        by_stem.setdefault(stem, []).append((rank, path.name))
        return self._folders[folder]


def write_new(place: Path, content: bytes) -> str:
    """Write a file to a free path; the same bytes may be there already. Raises `Conflict`, `StorageError`.

    The content gets a temporary name first and is then renamed without replacing anything: a file that appears
    meanwhile is never overwritten, and a reader never sees half a sidecar.
    """
    temporary = place.with_name(f".{place.name[:80]}.{random_name()}.new")
    write_atomic(temporary, content)
    try:
        rename_new(temporary, place)
    except FileExistsError:
        remove(temporary, missing_ok=True)
        if place.is_symlink() or not place.is_file() or _read(place, LARGEST) != content:
            raise Conflict(f"{place} has just appeared; left as it is", hint="sync again") from None
    except BaseException:
        remove(temporary, missing_ok=True)
        raise
    return "written"


def rewrite(place: Path, content: bytes) -> str:
    """Replace a file that synapse wrote; raises `StorageError`."""
    write_atomic(place, content)
    return "rewritten"


def merge_into(place: Path, content: bytes, base: Path, facts: ByteFacts | None = None) -> str:
    """Add the keys of `content` to a sidecar that others wrote or changed; `base` has the bytes of the last write.
    `facts` are those of its keys that change together.

    JSON with none of the keys of either is no such sidecar, and is left as it is.

    Returns "changed", or the reason why nothing was written. Raises `Conflict` if it changes at the same time.
    """
    if place.is_symlink():
        return "kept: a symbolic link"
    try:
        before = read_small(place, _MAX_BYTES)
    except UnfitFile:
        return "left as it is: not a JSON object"
    theirs, ours, last = _object(before), _object(content), _object(_read(base))
    if theirs is None or ours is None:
        return "kept: not a JSON object"
    if not theirs.keys() & {*ours, *(last or {})}:
        return "kept: other JSON, without a key of a sidecar"  # its program may refuse keys that it does not know
    words = merge(theirs, last or {}, ours, facts)
    if words == theirs:
        return "nothing to add"
    # Its program may be writing now. This look narrows the window; without a common lock it cannot be closed.
    if _read(place) != before:
        raise Conflict(f"{place} is being written by something else; left as it is", hint="sync again")
    write_atomic(place, sidecar_bytes(words))
    return "changed"


def followed(root: Path, before: str, content: bytes, facts: ByteFacts | None = None) -> bytes:
    """The content of a new sidecar with the user's changes in the one at the path `before`, if there is such a one.

    `facts` are those of its keys that change together. The old one stays as it is. One that cannot be read has no
    changes to offer.
    """
    if not before:
        return content
    path = SafePath(before)
    try:
        theirs, ours, last = map(_object, (_read(path.under(root)), content, _read(base_path(root, path))))
    except OSError:
        return content
    if theirs is None or ours is None or last is None:
        return content
    return sidecar_bytes(merge(theirs, last, ours, facts))


def base_path(root: Path, path: SafePath) -> Path:
    """The file with the last content that synapse wrote into a sidecar; a merge compares with it."""
    name = hashlib.sha256(path.text.encode()).hexdigest()[:32]
    return Path(directory_of(str(root)), "sidecars", f"{name}.json")


def remember(root: Path, path: SafePath, content: bytes) -> None:
    """Keep the content of a sidecar. Without it a later merge keeps more of the old values, and loses nothing."""
    state_directory(root)
    base = base_path(root, path)
    own_directory(base.parent)
    write_atomic(base, content, durable=False)


def forget(root: Path, path: SafePath) -> None:
    """Remove the kept content of a sidecar that is gone."""
    with contextlib.suppress(OSError):
        remove(base_path(root, path), missing_ok=True)


def _read(path: Path, limit: int = _MAX_BYTES) -> bytes:
    """The content of a sidecar, `b""` for one that is gone or that is no small file any more; raises `OSError`."""
    try:
        return read_small(path, limit)
    except (FileNotFoundError, UnfitFile):
        return b""


def _object(text: bytes) -> Mapping[str, Any] | None:
    if len(text) > _MAX_BYTES:
        return None
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

"""Consent: the capabilities that this user has agreed to, for each project by its real path.

Each is a file of this user in a folder of this user: in the store or, where that cannot be written, beside the
settings. It is never in the project, which may be anybody's. Another user's consent counts for nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.trust import Capability, Kind
from synapse_sync.errors import StorageError

#: Writes a file that only its owner can read: path and content. It is handed in, since the store's room is above.
Write = Callable[[Path, bytes], None]
#: Larger than any file of consents that synapse writes.
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ConsentFiles:
    """The files of one user's consents: one for each project, in the first folder of `places` that can be written.

    `places` are the directories of the store and of the settings. `write` writes a private file. `owner` returns
    the owner that a file made by this user gets in a directory: another one, where the mount says so (root-squash).
    """

    places: Sequence[Path]
    write: Write
    owner: Callable[[Path], int | None] = lambda place: None

    def read(self, key: str, project: Path) -> frozenset[Capability]:
        """The capabilities that this user has agreed to for a project; `key` is its key in the store."""
        found: set[Capability] = set()
        for folder in self._folders():
            found |= self._read(folder / f"{key}.json", str(project))
        return frozenset(found)

    def keep(self, key: str, project: Path, agreed: Collection[Capability]) -> None:
        """Add capabilities to those of a project; raises `StorageError` if none of the places can be written."""
        if set(agreed) <= self.read(key, project):
            return
        failure: StorageError | None = None
        for folder in self._folders():
            path = folder / f"{key}.json"
            if os.path.lexists(folder) and not self._is_mine(folder, stat.S_ISDIR):
                continue  # somebody else's, or a link that they made for us to write through
            try:
                self.write(path, _format(str(project), {*agreed, *self._read(path, str(project))}))
            except StorageError as error:
                failure = failure or error
                continue
            if set(agreed) <= self._read(path, str(project)):  # else it cannot be seen that it is mine
                return
        raise failure or StorageError("your consent cannot be kept", hint="set SYNAPSE_TRUST=1 for this run")

    def revoke(self, key: str, project: Path) -> frozenset[Capability]:
        """Forget all consents for a project, and return them; raises `StorageError`."""
        known = self.read(key, project)
        for folder in self._folders():
            if self._read(folder / f"{key}.json", str(project)):
                self.write(folder / f"{key}.json", _format(str(project), ()))
        return known

    def all(self) -> Mapping[str, frozenset[Capability]]:
        """The consents of every project, by its path."""
        found: dict[str, set[Capability]] = {}
        for folder in self._folders():
            for path in sorted(folder.glob("*.json")) if self._is_mine(folder, stat.S_ISDIR) else ():
                project, agreed = self._load(path)
                if agreed:
                    found.setdefault(project, set()).update(agreed)
        return {project: frozenset(agreed) for project, agreed in sorted(found.items())}

    def _folders(self) -> Iterator[Path]:
        # One folder for each user: in a store of several, nobody may write into that of another.
        name = f"trust-{os.geteuid()}" if hasattr(os, "geteuid") else "trust"
        yield from dict.fromkeys(place / name for place in self.places)

    def _read(self, path: Path, project: str) -> frozenset[Capability]:
        if not self._is_mine(path.parent, stat.S_ISDIR):
            return frozenset()
        known, agreed = self._load(path)
        return agreed if known == project else frozenset()

    def _load(self, path: Path) -> tuple[str, frozenset[Capability]]:
        """The project and the capabilities of a file; nothing if it is damaged, not mine or no plain file."""
        nothing: tuple[str, frozenset[Capability]] = ("", frozenset())
        if not self._is_mine(path):
            return nothing
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            with path.open("rb") as file:
                data = json.loads(file.read(_MOST_BYTES))
            return str(data["project"]), frozenset(
                Capability(Kind(kind), str(value)) for kind, values in data["agreed"].items() for value in values
            )
        return nothing

    def _is_mine(self, path: Path, kind: Callable[[int], bool] = stat.S_ISREG) -> bool:
        """Whether a path is this user's, as its mount shows owners; the mount is asked only for another owner."""
        if is_mine(path, kind) or not is_mine(path, kind, anyone=True):
            return is_mine(path, kind)
        with contextlib.suppress(OSError):
            return path.lstat().st_uid == self.owner(path.parent)
        return False


def is_mine(
    path: Path, kind: Callable[[int], bool] = stat.S_ISREG, *, writable: int = 0o022, anyone: bool = False
) -> bool:
    """Whether a path, links not followed, is of this kind and belongs to this user, or to `anyone`.

    `writable` are the bits of its mode for others who might write to it: none of them may be set.
    """
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return False
    if not kind(found.st_mode):
        return False
    # Windows has no such owners; there the folder is in the user's own profile.
    if not hasattr(os, "geteuid"):
        return True
    return (anyone or found.st_uid == os.geteuid()) and not found.st_mode & writable


def _format(project: str, agreed: Collection[Capability]) -> bytes:
    values = {kind.value: sorted(one.value for one in agreed if one.kind is kind) for kind in Kind}
    known = {kind: listed for kind, listed in values.items() if listed}
    return json.dumps({"project": project, "agreed": known}, indent=1).encode()

"""Two spellings of one path: file systems that ignore case or Unicode form show one file by several names.

Nothing is assumed of a file system: the directory's own listing says whether two names are one file.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection
from pathlib import Path

from synapse_sync.core.names import clash_key
from synapse_sync.store.durable import rename_new


def one_file(root: Path, one: str, other: str) -> bool:
    """Whether two paths below `root` that differ in spelling only lead to one existing file."""
    if one == other:
        return os.path.lexists(os.path.join(root, one))
    if clash_key(one) != clash_key(other):
        return False
    place = str(root)
    for name, second in zip(one.split("/"), other.split("/"), strict=True):
        # Where both names are in the listing they are two files, perhaps hard links of one blob.
        both = name == second or (len(_alike(place, name)) == 1 and os.path.lexists(os.path.join(place, second)))
        if not both:
            return False
        place = os.path.join(place, name)
    return os.path.lexists(place)


class RealPlaces:
    """One text for every way to a path: links and other spellings of its directory count as the same way.

    Each directory is resolved once. The inode would not do: FUSE may give each spelling one of its own.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._by_key: dict[str, list[str]] = {}

    def __call__(self, place: str) -> str:
        """The text for an absolute path; its last part is compared as it is spelled."""
        folder, name = os.path.split(place)
        return os.path.join(self.folder(folder), name)

    def folder(self, folder: str) -> str:
        """The text for an absolute path of a directory."""
        if folder not in self._known:
            self._known[folder] = self._first(os.path.realpath(folder))
        return self._known[folder]

    def _first(self, real: str) -> str:
        """The first known spelling of a directory."""
        alike = self._by_key.setdefault(clash_key(real), [])
        anchor = Path(Path(real).anchor)
        for known in alike:
            if known == real or one_file(anchor, known[len(str(anchor)) :], real[len(str(anchor)) :]):
                return known
        alike.append(real)
        return real


def is_spelled(root: Path, path: str) -> bool:
    """Whether an existing path is spelled on disk as it is here; Unicode forms count as one spelling."""
    place = str(root)
    for name in path.split("/"):
        if _tells_case_apart(place, name):  # a listing for each of thousands of files in it would take minutes
            place = os.path.join(place, name)
            continue
        if name not in (names := _alike(place, name)) and not any(_nfc(found) == name for found in names):
            return False
        place = os.path.join(place, name)
    return True


def respell_path(root: Path, path: str, *, listed: Collection[str], keep: Collection[str]) -> None:
    """Give a file, and the directories on its way, the spelling of `path`; raises `OSError`.

    A directory keeps its spelling if it is one of `keep`, a link, or if it has files that are not `listed`.
    """
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        part, place = "/".join(parts[:count]), root.joinpath(*parts[:count])
        if count == len(parts) or not (part in keep or place.is_symlink() or _has_others(root, place, listed)):
            respell(place)


def _has_others(root: Path, directory: Path, listed: Collection[str]) -> bool:
    keys = {clash_key(path) for path in listed}
    return any(
        clash_key(os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")) not in keys
        for folder, _, names in os.walk(directory)
        for name in names
    )


def respell(place: Path) -> bool:
    """Give a file or directory the spelling of `place`, where another spelling reaches it; returns whether it did.

    Raises `OSError`.
    """
    names = _alike(place.parent, place.name)
    if len(names) != 1 or _nfc(names[0]) == place.name:
        return False
    other = place.with_name(names[0])
    other.rename(place)
    if place.name not in _alike(place.parent, place.name):
        # Linux takes both names for one file and does nothing (exFAT, vfat, CIFS): go by way of a third name.
        # After a crash in between the file is still in its directory, under a name that no sweep removes.
        step = place.with_name(f"{place.name}.renamed")
        if place.is_dir():
            other.rename(step)
            step.rename(place)
        else:
            rename_new(other, step)
            rename_new(step, place)
    return True


def _tells_case_apart(directory: str, name: str) -> bool:
    """Whether a name exists and its letters in the other case lead nowhere: then it is spelled so on disk."""
    other = name.swapcase()
    if not name.isascii() or other == name or os.path.lexists(os.path.join(directory, other)):
        return False
    return os.path.lexists(os.path.join(directory, name))


def _alike(directory: str | Path, name: str) -> list[str]:
    """The names in a directory that differ from `name` in spelling only, `name` itself included."""
    key = clash_key(name)
    try:
        return [found for found in os.listdir(directory) if clash_key(found) == key]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)

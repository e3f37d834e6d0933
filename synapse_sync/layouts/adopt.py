"""The reverse of `arrange`: the type of a file by its folder, and the keys that place a file where it is. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from synapse_sync.core.manifest.values import Target
from synapse_sync.core.names import SafePath, visible_name
from synapse_sync.layouts import LAYOUTS


def kinds_at(path: SafePath, target: Target) -> tuple[str, ...]:
    """The types of the files in the folder of a path: several where a UI has one folder for them; () for no folder.

    The nearest folder decides: files below `ultralytics/segm` are not of the type of `ultralytics`.
    """
    by_folder = _by_folder(target)
    parts = path.parts[:-1]
    for count in range(len(parts), 0, -1):
        if kinds := by_folder.get("/".join(parts[:count])):
            return kinds
    return ()


def type_in(folder: SafePath, target: Target) -> tuple[str, str] | None:
    """The type of the files in a folder, and the folders below that of its type ("" for none); None for no type.

    The nearest folder decides. Of a folder that a UI reads besides the first one, the type is the same.
    """
    by_folder = _by_folder(target)
    for count in range(len(folder.parts), 0, -1):
        if kinds := by_folder.get("/".join(folder.parts[:count])):
            return kinds[0], "/".join(folder.parts[count:])
    return None


def folders_for(kind: str, target: Target) -> tuple[str, ...]:
    """All folders of a target that its UI reads for a type, the manifest's own first."""
    layout = LAYOUTS[target.layout]
    named = target.folder(kind)
    own = () if named is None else (named.text,)
    return tuple(dict.fromkeys((*own, *layout.folders.get(kind, filter(None, [layout.folder(kind)])))))


@functools.lru_cache(maxsize=32)
def _by_folder(target: Target) -> Mapping[str, tuple[str, ...]]:
    """The types of each folder of a target; an import asks for thousands of files of one."""
    found: dict[str, tuple[str, ...]] = {}
    own = [(kind, (folder.text,)) for kind, folder in target.folders]
    for kind, folders in (*own, *LAYOUTS[target.layout].folders.items()):
        for folder in folders:
            found[folder] = (*found.get(folder, ()), kind)
    return found


def top_folders(target: Target) -> tuple[str, ...]:
    """The folders below a root that hold its models, without those inside of one another; "" is the root itself."""
    layout = LAYOUTS[target.layout]
    if layout.catch_all is not None:
        return (layout.catch_all,)
    firsts = {folder.partition("/")[0] for folders in layout.folders.values() for folder in folders}
    return tuple(sorted(firsts | {folder.parts[0] for _, folder in target.folders}))


def keys_at(path: SafePath, kind: str, filename: str, target: Target) -> Iterator[tuple[str, object]]:
    """The keys of a manifest's entry that place a file at a path; none if its type and its name do.

    `filename` is the name that its source has for it. Raises `ValueError` for a path that no keys lead to: a file
    right in the root of a UI.
    """
    layout = LAYOUTS[target.layout]
    parent, _, name = path.text.rpartition("/")
    named = target.folder(kind)
    home = named.text if named is not None else layout.folder(kind)
    if home is not None and parent == home:
        pass
    elif home is not None and parent.startswith(f"{home}/" if home else ""):
        yield "subfolder", parent.removeprefix(f"{home}/" if home else "")
    elif parent:
        yield "folder", parent
    else:
        raise ValueError(f"no entry leads to {path}")
    if visible_name(filename) != name:
        yield "filename", name

"""Unmanaged: the files of weights in managed folders that no receipt lists and no model names. Looks only."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from synapse_sync.core.artifact import WEIGHT_FORMATS, format_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.names import clash_key
from synapse_sync.core.plan import Key, Observed
from synapse_sync.project import Project
from synapse_sync.store.ownership import Tree
from synapse_sync.store.spelling import one_file

#: More files than a person puts into one folder; the rest of a larger one is not listed.
_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmanaged:
    """A file that synapse neither placed nor will: its target and its root, its path there, its size in bytes."""

    target: str
    root: str
    path: str
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Return the file as `--json` prints it."""
        return {"target": self.target, "path": self.path, "size": self.size}


def unmanaged(
    project: Project, trees: Mapping[str, Tree], observed: Mapping[Key, Observed]
) -> tuple[Unmanaged, ...]:
    """The unmanaged files in the folders of some trees that hold, or will hold, files of synapse.

    `observed` are the wanted paths. The manifest's own local sources do not count. A folder that
    cannot be read is passed over.
    """
    wanted = set(observed)
    sources = {
        os.path.realpath(project.directory / Path(entry.reference.id).expanduser())
        for entry in project.manifest.entries()
        if entry.reference.source == "path" and not entry.reference.id.startswith("~")
    }
    found: list[Unmanaged] = []
    for name, tree in trees.items():
        listed = {path for target, path in wanted if target == name} | set(tree.receipt.entries) | set(tree.beside)
        known = _Known(tree.root, (*listed, *tree.others))
        for folder in sorted({path.rpartition("/")[0] for path in listed}):
            found += (
                each
                for each in _weights_in(tree.target, tree.root, folder)
                if each.path not in known and os.path.realpath(tree.root / each.path) not in sources
            )
    return tuple(found)


class _Known:
    """Paths below a root, in any spelling that leads to the same file there: some disks list one of their own."""

    def __init__(self, root: Path, paths: Collection[str]) -> None:
        self._root = root
        self._paths = frozenset(paths)
        self._by_key: dict[str, list[str]] = {}
        for path in paths:
            self._by_key.setdefault(clash_key(path), []).append(path)

    def __contains__(self, path: str) -> bool:
        alike = self._by_key.get(clash_key(path), ())
        return path in self._paths or any(one_file(self._root, path, other) for other in alike)


def _weights_in(target: Target, root: Path, folder: str) -> Iterator[Unmanaged]:
    try:
        with os.scandir(root / folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)[:_MOST]
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or format_of(entry.name) not in WEIGHT_FORMATS:
            continue
        try:
            if entry.is_file():
                path = f"{folder}/{entry.name}" if folder else entry.name
                yield Unmanaged(target=target.name, root=target.root, path=path, size=entry.stat().st_size)
        except OSError:
            continue

"""Import, ways: which links lead into another target. The files behind them have an owner already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from synapse_sync.core.manifest.values import Manifest, Target
from synapse_sync.core.names import SafePath
from synapse_sync.engine.find_files import Place
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import Conflict
from synapse_sync.project import Project
from synapse_sync.store.ownership import Tree, open_trees, with_barriers
from synapse_sync.store.reach import way_to


def with_barred(
    places: Sequence[Place], manifest: Manifest, new: Sequence[Target], project: Project, tools: Tools
) -> list[Place]:
    """The places, each with the directories into which no link in it may lead.

    `manifest` has the `new` targets of this import as well. Raises `Conflict` if a new target has files that an
    earlier one manages through a link: no sync would follow that link any more. Raises `StorageError`.
    """
    before = _trees([target for target in manifest.targets if target not in new], project, tools)
    after = _trees(manifest.targets, project, tools)
    if new:
        _check_kept(before, after)
    return [replace(place, barred=after[place.target.name].barred) for place in places]


def _trees(targets: Iterable[Target], project: Project, tools: Tools) -> Mapping[str, Tree]:
    targets = tuple(targets)
    trees = open_trees(
        targets,
        project.directory,
        project.key,
        link_mode=None,
        default_mode=tools.link_mode,
        store=project.store,
    )
    stores = [member.root for member in tools.store.members]
    names = {target.name for target in targets}
    return with_barriers(trees, names, key=project.key, store=tools.store.root, stores=stores)


def _check_kept(before: Mapping[str, Tree], after: Mapping[str, Tree]) -> None:
    """Raise `Conflict` for a managed file whose way the new targets would bar."""
    for name, tree in before.items():
        for path in {path.rpartition("/")[0]: path for path in tree.receipt.entries}.values():
            was = way_to(tree.root, SafePath(path), tree.barred)
            if was.real is None or was.obstacle is not None:
                continue
            obstacle = way_to(tree.root, SafePath(path), after[name].barred).obstacle
            if obstacle is not None:
                raise Conflict(
                    f"target `{name}` would lose its files: with this import, {obstacle}",
                    hint=f"nothing is to be done for the models behind it: `{name}` manages them",
                )

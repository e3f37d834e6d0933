"""Tree: the targets of a project with the files that its models have there, by folder. Looks only."""

from __future__ import annotations

from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Target
from synapse_sync.engine.survey import Survey
from synapse_sync.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One wanted file: its path in the target, its model, its size in bytes, and its state."""

    path: str
    model: str
    size: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One target with its files, sorted by path."""

    target: Target
    leaves: tuple[Leaf, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the target as `synapse tree --json` prints it."""
        target = self.target
        return {
            "name": target.name,
            "layout": target.layout,
            "root": target.root,
            "groups": None if target.groups is None else list(target.groups),
            "files": [
                {"path": leaf.path, "model": leaf.model, "size": leaf.size, "state": leaf.state}
                for leaf in self.leaves
            ],
        }


def _place(leaf: Leaf) -> tuple[str, str]:
    """Folder and name, by which files are sorted: those of a folder come before those of folders below it."""
    folder, _, name = leaf.path.rpartition("/")
    return folder, name


def branches(project: Project, survey: Survey) -> tuple[Branch, ...]:
    """The targets of a survey, in the order of the manifest, each with the files that it is to have."""
    names = [target.name for target in project.manifest.targets if target.name in survey.trees]
    leaves: dict[str, list[Leaf]] = {name: [] for name in names}
    for placement in survey.arrangement.placements:
        if placement.known_as is not None:
            continue  # the path by which programs find it has a placement of its own
        leaves[placement.target].append(
            Leaf(
                path=placement.path.text,
                model=placement.model,
                size=placement.artifact.size,
                state=survey.observed[placement.key].state.value,
            )
        )
    return tuple(
        Branch(target=survey.trees[name].target, leaves=tuple(sorted(leaves[name], key=_place))) for name in names
    )

"""Declared bytes: which files have the bytes of a declared model, under a name that is not its own. Looks only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from synapse_sync.core.names import declared_name
from synapse_sync.core.plan import Placement
from synapse_sync.engine.survey import Survey


class DeclaredBytes:
    """The bytes that the models of a project have in its targets. `roots` are the directories of the targets."""

    def __init__(self, placements: Iterable[Placement], roots: Mapping[str, Path]) -> None:
        self._roots = roots
        self._placements: dict[tuple[str, str], list[Placement]] = {}
        self._sizes: set[tuple[str, int]] = set()
        for each in placements:
            self._placements.setdefault((each.target, each.artifact.sha256), []).append(each)
            self._sizes.add((each.target, each.artifact.size))

    def has_size(self, target: str, size: int) -> bool:
        """Whether a model of a target has a file of `size` bytes: only then is another file worth reading."""
        return (target, size) in self._sizes

    def owner(self, target: str, sha256: str) -> Placement | None:
        """The place that a model has for these bytes in a target, first one without a file; None for no model."""
        found = self._placements.get((target, sha256), [])
        return min(found, key=self.is_there, default=None)

    def is_there(self, placement: Placement) -> bool:
        """Whether the model's own path has a file, or anything else."""
        return os.path.lexists(placement.path.under(self._roots[placement.target]))

    def moved(self, target: str, sha256: str) -> str | None:
        """Why a file with these bytes is no new model: it is a declared one, whose own path has no file."""
        owner = self.owner(target, sha256)
        if owner is None or self.is_there(owner):
            return None
        name = declared_name(owner.model)
        return (
            f"these are the bytes of `{name}`, which synapse.toml places at {owner.path}: "
            f"move the file there, or run `synapse remove {name}` and import it again"
        )


def declared_in(survey: Survey) -> DeclaredBytes:
    """The bytes that the models of a survey have in its targets."""
    roots = {name: tree.root for name, tree in survey.trees.items()}
    return DeclaredBytes(survey.arrangement.placements, roots)

"""Unused: the files of models that no workflow in a directory names. Looks only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.engine.present import PresentFile, present_in
from synapse_sync.engine.read_lists import workflows_below
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InputError
from synapse_sync.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """The files that no workflow names, the largest first, and the number of all files and of workflows.

    `unread` are the files that could not be read, with reasons: a workflow among them may name more.
    """

    files: tuple[PresentFile, ...]
    every: int
    workflows: int
    unread: tuple[tuple[Path, str], ...] = ()

    @property
    def size(self) -> int:
        """The bytes of all these files."""
        return sum(file.size for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as `synapse unused --json` prints it."""
        return {
            "workflows": self.workflows,
            "models": self.every,
            "unused": [{"target": f.target, "path": f.path, "size": f.size, "model": f.model} for f in self.files],
            "bytes": self.size,
            "unread": [{"path": str(path), "reason": reason} for path, reason in self.unread],
        }


def unused(project: Project, directory: Path, tools: Tools) -> Unused:
    """Compare the files of models in all targets with those that the workflows and images of a directory name.

    All files of one model are used if one of them is. Raises `InputError` for a directory in which no file names a
    model: then every model would count as unused.
    """
    readings, unread = workflows_below(directory)
    if not readings:
        raise InputError(
            f"no workflow or image in {directory} names a model", hint="name the directory of your workflows"
        )
    present = present_in(project, tools)
    used: set[PresentFile] = set()
    for reading in readings:
        for model in reading.models:
            used.update(present.find(replace(model, sha256=None)))  # other bytes of that name are in use, too
    models = {file.model for file in used} - {None}
    files = [file for file in present.files if file not in used and file.model not in models]
    files.sort(key=lambda file: (-file.size, file.target, file.path))
    return Unused(files=tuple(files), every=len(present.files), workflows=len(readings), unread=tuple(unread))

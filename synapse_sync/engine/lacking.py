"""Lacking: the listed models of other programs' files that no target of a project has. Looks only."""

from __future__ import annotations

from collections.abc import Sequence

from synapse_sync.core.frozen import dataclass
from synapse_sync.engine.present import present_in
from synapse_sync.engine.tools import Tools
from synapse_sync.interop.readers import Reading
from synapse_sync.interop.readers.listed import Listed
from synapse_sync.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A listed model without a file in the trees of this project; `file` is the name of the list."""

    file: str
    model: Listed


def lacking(project: Project, readings: Sequence[Reading], tools: Tools) -> tuple[Lacking, ...]:
    """The listed models whose files no target has, by names and folders, or by locked versions.

    Nothing is written, hashed or asked.
    """
    present = present_in(project, tools)
    return tuple(
        Lacking(file=reading.file, model=model)
        for reading in readings
        for model in reading.models
        if not present.find(model)
    )

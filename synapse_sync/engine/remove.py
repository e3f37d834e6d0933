"""Remove: take models out of the manifest and the lockfile; the next sync removes their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from synapse_sync.engine.include import bring_includes
from synapse_sync.engine.part import unknown_model
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InputError, raise_all
from synapse_sync.project import Project
from synapse_sync.user.places import MANIFEST


def remove(project: Project, names: Sequence[str], tools: Tools) -> tuple[str, ...]:
    """Remove models from the manifest and the lockfile; returns their names.

    Raises `InputError` for names that are not declared.
    """
    from synapse_sync.core.manifest.edit import remove_models

    with project.hold(tools.reporter.note):
        bring_includes(project, tools)
        known = {model.name: model.declared_in for model in project.manifest.models}
        raise_all([unknown_model(name, known) for name in names if name not in known])
        raise_all([_declared_elsewhere(name, known[name]) for name in names if known[name]])
        gone = tuple(dict.fromkeys(names))
        text = remove_models(project.text(MANIFEST), gone)
        lockfile, unwanted = project.lockfile, set(gone)
        kept = tuple(model for model in lockfile.models if model.model not in unwanted)
        project.write(MANIFEST, text)
        if len(kept) < len(lockfile.models):
            project.write_lockfile(replace(lockfile, models=kept))
    return gone


def _declared_elsewhere(name: str, origin: str) -> InputError:
    """The error for a model of an included manifest, which is edited where it is."""
    return InputError(
        f"`{name}` is declared in {origin}, which {MANIFEST} includes",
        hint="remove it there, or drop that line from `include`",
    )

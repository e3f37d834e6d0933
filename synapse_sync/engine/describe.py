"""Describe: one site's words about a reference, or about a model of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from synapse_sync.core.nearest import suggestion
from synapse_sync.core.reference import Reference
from synapse_sync.engine.trust import Trust
from synapse_sync.errors import InvalidReference
from synapse_sync.project import Project
from synapse_sync.sources.base import Description, Source
from synapse_sync.user.places import MANIFEST


def describe(
    project: Project, text: str, sources: Mapping[str, Source], consent: Trust
) -> tuple[Description, frozenset[str]]:
    """Describe a reference or a declared name.

    `text` is the one or the other. Returns the site's description, and the versions that are locked for a name, as
    references. Raises `InvalidReference` for a text that is neither. Raises `NotTrusted` for a name whose place
    needs the user's `consent`: only the project's files name it.
    """
    try:
        reference, locked = Reference.parse(text), []
    except InvalidReference as error:
        if not (project.directory / MANIFEST).is_file():
            raise
        entries = [e for e in project.manifest.entries() if text in (e.name, e.model)]
        if not entries:
            names = {name for entry in project.manifest.entries() for name in (entry.name, entry.model)}
            hint = suggestion(text, sorted(names), error.hint or "")
            raise InvalidReference(f"{error.message}, nor a model of {MANIFEST}", hint=hint) from error
        names = {entry.name for entry in entries}
        locked = [m.reference for m in project.lockfile.models if m.name in names]
        reference = locked[0] if locked else entries[0].reference
        # The user typed a name; its place is the word of the manifest or the lockfile, as for a sync.
        consent.require(consent.locked([(entries[0].name, reference)], entries))
    found = sources[reference.source].describe(reference)
    return found, frozenset(str(replace(pin, file=None, query=())) for pin in locked)

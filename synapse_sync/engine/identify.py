"""Identify: ask the sites for declared local files, by their locked digests, and declare the origins instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.edit import add_models, remove_models
from synapse_sync.core.manifest.values import Manifest, Requirement
from synapse_sync.core.plan import Placement
from synapse_sync.core.reference import Reference
from synapse_sync.core.toml import read_toml
from synapse_sync.engine.choose import Chosen
from synapse_sync.engine.find_files import FoundFile
from synapse_sync.engine.import_entries import never, origin_value
from synapse_sync.engine.origins import Origin, origins_of
from synapse_sync.engine.pin import pin
from synapse_sync.engine.tools import Tools
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import Project
from synapse_sync.store.roots import root_of
from synapse_sync.suppliers.hub_cache import HubCache
from synapse_sync.user.places import MANIFEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """The new origins of declared models, by name, and warnings."""

    origins: Mapping[str, Reference]
    warnings: tuple[str, ...] = ()


def identify(project: Project, tools: Tools, cache: HubCache) -> Identified:
    """Give every declared local file that a site knows that site's reference; its place stays the same.

    Nothing is read but the lockfile, and nothing in a tree changes. `cache` is the hub's cache on this machine.
    """
    with project.hold(tools.reporter.note):
        project.check_writable()
        text, manifest = project.text(MANIFEST), project.manifest
        locked = {model.name: model for model in project.lockfile.models}
        files = _local_files(manifest, locked, project)
        origins, warnings = origins_of(list(files.values()), tools.sources, cache) if files else ({}, [])
        found = {name: origins[file.sha256] for name, file in files.items() if file.sha256 in origins}
        if found:
            new = _declared(text, found, files)
            models = _locked(project.as_manifest(new), found, locked, tools)
            lockfile = replace(project.lockfile, models=tuple(models[name] for name in sorted(models)))
            project.write(MANIFEST, new)
            project.write_lockfile(lockfile)
    references = {name: origin.resolved.reference for name, origin in found.items()}
    return Identified(origins=references, warnings=tuple(warnings))


def _local_files(manifest: Manifest, locked: Mapping[str, LockedModel], project: Project) -> dict[str, FoundFile]:
    """The files of this machine that are locked and placed under one name, by their models."""
    local = (entry for entry in manifest.here() if entry.reference.source == "path" and not entry.declared_in)
    entries = [entry for entry in local if entry.name in locked]
    roots = {target.name: root_of(target.root, project.directory) for target in manifest.targets}
    placed: dict[str, Placement] = {}
    several: set[str] = set()
    for placement in arrange(entries, locked, manifest.targets).placements:
        if placed.setdefault(placement.model, placement).path.name != placement.path.name:
            several.add(placement.model)
    return {
        name: FoundFile(
            target=placement.target,
            path=placement.path,
            place=placement.path.under(roots[placement.target]),
            size=placement.artifact.size,
            sha256=placement.artifact.sha256,
            blake3=placement.artifact.blake3 or "",
            format=placement.artifact.format,
        )
        for name, placement in placed.items()
        if name not in several
    }


def _declared(text: str, found: Mapping[str, Origin], files: Mapping[str, FoundFile]) -> str:
    """The manifest with the sites' references in place of the local paths."""
    before: Mapping[str, Any] = read_toml(text)["models"]
    entries = []
    for name, origin in found.items():
        value = {"source": before[name]} if isinstance(before[name], str) else dict(before[name])
        value |= origin_value(origin, follows=True)
        if Path(origin.candidate.filename).name != files[name].path.name:
            value["filename"] = files[name].path.name
        entries.append((name, value))
    return add_models(remove_models(text, [*found]), entries)


def _locked(
    manifest: Manifest, found: Mapping[str, Origin], before: Mapping[str, LockedModel], tools: Tools
) -> dict[str, LockedModel]:
    entries: dict[str, Requirement] = {entry.name: entry for entry in manifest.entries()}
    chosen = [Chosen(entries[name], origin.resolved, (origin.candidate,)) for name, origin in found.items()]
    options = replace(manifest.workspace, forbidden=tools.forbidden)
    pinned, _ = pin(chosen, {}, frozenset(), options, never, never, never)
    return {**before, **pinned}

"""Repair: verify the trees of a project and, if wanted, sync again where they were wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from synapse_sync.core.findings import listed
from synapse_sync.core.freshness import expected, unlocked
from synapse_sync.engine.parallel import ALONE, Part
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import survey_project, trees_in
from synapse_sync.engine.sync import contradicted, sync
from synapse_sync.engine.tools import Tools
from synapse_sync.engine.verify import Verification, verify_store, verify_tree
from synapse_sync.errors import OutOfDate, SynapseError
from synapse_sync.project import Project
from synapse_sync.store.ownership import hold_roots


def verify(
    project: Project,
    tools: Tools,
    state: Callable[[], str],
    *,
    repair: bool = False,
    whole_store: bool = False,
    part: Part = ALONE,
) -> Verification:
    """Hash every wanted file and the blobs behind them.

    `state` returns the fingerprint of the two files and the settings. With `repair`, bad files are set aside and a
    sync follows, whose report is in the result. With `whole_store`, every blob of the store is hashed too. `part`
    says which of them, and where they are hashed.
    """
    trees = trees_in(project, Scope(), tools.link_mode)
    with hold_roots(trees, project.store, tools.reporter.note):
        survey = survey_project(project, Scope(prune=False), tools)
        result = verify_tree(
            survey.arrangement.placements,
            survey.observed,
            survey.trees,
            store=tools.store,
            reporter=tools.reporter,
            locate=tools.local_path,
            repair=repair,
            part=part,
        )
    good = result.good
    warnings = contradicted(project, project.lockfile.models, lambda file: good.get(file.sha256), tools)
    result = replace(result, bad=(*result.bad, *_not_locked(project)), warnings=tuple(warnings))
    if whole_store:
        others = [member.root for member in tools.store.members[1:]]
        rest = verify_store(project.store, others=others, repair=True, part=part)
        result = replace(
            result,
            blobs=rest.files,
            stored=rest.size,
            bytes=result.bytes + rest.bytes,
            bad=(*result.bad, *rest.bad),
            set_aside=(*result.set_aside, *rest.set_aside),
        )
    if repair and result.bad:
        try:
            report = sync(project, Scope(prune=False), tools, state=state, locked=True, command="verify")
        except SynapseError:
            for text in result.set_aside:
                tools.reporter.warn(f"set aside: {text}")
            raise
        result = replace(result, report=report)
    return result


def _not_locked(project: Project) -> list[SynapseError]:
    """One error for all declared models without a pin: their files cannot be verified, so not all is good."""
    names = unlocked(expected(project.manifest.entries(), project.lockfile), project.lockfile)
    if not names:
        return []
    words = "is not locked, so its" if len(names) == 1 else "are not locked, so their"
    subject = names[0] if len(names) == 1 else None
    return [
        OutOfDate(f"{listed(names)} {words} files cannot be verified", hint="run `synapse lock`", subject=subject)
    ]

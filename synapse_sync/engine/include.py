"""Include: download the included manifests that a manifest pins, once, and check them."""

from __future__ import annotations

from synapse_sync.core.manifest.include import MOST, Include, MissingInclude
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InputError, Offline, SynapseError
from synapse_sync.project import Project
from synapse_sync.store.includes import LARGEST, keep_include


def bring_includes(project: Project, tools: Tools) -> None:
    """Download every included manifest that is not here yet; raises what a download may raise, and `InputError`.

    Mistakes in the manifests are reported when they are read.
    """
    for _ in range(MOST):
        try:
            _ = project.manifest
            return
        except MissingInclude as missing:
            _bring(missing.include, project, tools)
        except SynapseError:
            return


def _bring(include: Include, project: Project, tools: Tools) -> None:
    reference = include.reference
    assert reference is not None
    if tools.offline:
        raise Offline(
            f"{include.shown} is not here, and --offline prevents downloads", hint="sync once with a network"
        )
    tools.trust.require(tools.trust.declared([Requirement(name="include", reference=reference)]))
    try:
        data = tools.transfers().peek(reference, LARGEST + 1, lambda first: LARGEST + 1)
        if len(data) > LARGEST:
            raise InputError(f"it has more than {LARGEST:,} bytes, so it is no manifest")
        keep_include(project.store, include.sha256, data)
    except SynapseError as error:
        error.message = f"included manifest {include.shown}: {error.message}"
        raise

"""States from which the tests of several verbs begin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stand_ins import nothing_is_recent
from workbench import content_of, declare
from world import Project

from synapse_sync.demo import catalogue


@pytest.fixture
def portrait(project: Project) -> bytes:
    """A locked model whose bytes are not here yet; the value is its content."""
    project.manifest(declare("portrait"))
    project("lock")
    project.hub.clear_log()
    return content_of(project.hub, catalogue.PORTRAIT_V1)


@pytest.fixture
def without_grace() -> Iterator[None]:
    """A collection spares no file for being new."""
    with nothing_is_recent():
        yield


@pytest.fixture
def synced(project: Project) -> Project:
    """A project in sync, with two models."""
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    return project

"""What a runner of workflows shows beside the code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from world import Project

from synapse_sync.cli.runner import annotation

DUPLICATE = '[models]\na = "civitai:1"\nbb = "civitai:2"\na = "civitai:3"\n'


@pytest.fixture
def step(project: Project) -> Project:
    os.environ |= {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(project.path.parent)}
    return project


def test_an_error_is_shown_at_its_line(step: Project) -> None:
    step.manifest(DUPLICATE)
    (line,) = (line for line in step("lock", "--check", code=2).err.splitlines() if line.startswith("::"))
    assert line.startswith("::error title=synapse,file=studio/synapse.toml,line=4::synapse.toml:4")


def test_a_hint_is_a_line_of_the_annotation(step: Project) -> None:
    step.manifest('[models]\na = "civitai:1"\n')
    said = step("lock", "--check", code=8).err
    assert "::error title=synapse::synapse.lock" in said and "%0Ahint: run `synapse lock`" in said


def test_json_stays_one_document(step: Project) -> None:
    step.manifest(DUPLICATE)
    found = step("lock", "--check", "--json", code=2)
    assert found.json["exit_code"] == 2 and "::error" in found.err


def test_elsewhere_there_are_none(project: Project) -> None:
    project.manifest(DUPLICATE)
    assert "::" not in project("lock", "--check", code=2).err


@pytest.mark.parametrize("text", ["a\n::stop-commands::x", "100%\r\n::error::y"])
def test_text_from_outside_ends_no_command(tmp_path: Path, text: str) -> None:
    line = annotation("warning", text, None, tmp_path, {})
    assert line.splitlines() == [line] and line.startswith("::warning title=synapse::")


def test_a_project_outside_the_checkout_has_no_file(project: Project, tmp_path: Path) -> None:
    project.manifest("")
    line = annotation(
        "error", "synapse.toml:1: x", None, project.path, {"GITHUB_WORKSPACE": str(tmp_path / "other")}
    )
    assert "file=" not in line

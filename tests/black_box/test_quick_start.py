"""README's quick start works as it is written, and its picture shows it."""

from __future__ import annotations

import html
import os
import re
import shlex
from pathlib import Path

import pytest
from shown import blocks
from stand_ins import typed
from world import Project

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[list[str]]:
    """The commands of README's first console, as words."""
    block = next(block for block in blocks(README) if block.language == "console")
    return [shlex.split(line, comments=True)[1:] for line, _ in block.steps()]


def test_the_quick_start_works_as_written(project: Project) -> None:
    del os.environ["CIVITAI_API_KEY"]  # a newcomer has none
    (project.path / "ComfyUI" / "comfy").mkdir(parents=True)
    (project.path / "ComfyUI" / "models" / "checkpoints").mkdir(parents=True)
    steps = commands()
    assert [words[0] for words in steps] == ["init", "login", "add", "sync", "status"]
    for words in steps:
        if words[0] == "login":
            with typed(project.hub.civitai_token):
                assert "as newcomer" in project(*words, "--token-stdin").err
            continue
        said = project(*words)
    assert said.out == "in sync: 1 file\n"
    assert list(project.tree(root="ComfyUI")) == ["models/checkpoints/dreamshaper_8.safetensors"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_screen_shows_these_commands(theme: str) -> None:
    (picture,) = re.findall(rf'="([^"]+-{theme}\.svg)"', README)
    svg = (ROOT / picture).read_text("utf-8")
    shown = html.unescape(re.sub(r"<[^>]+>", "", svg)).replace("\xa0", " ")
    for words in commands():
        assert f"$ synapse {' '.join(words)}" in shown


@pytest.mark.parametrize("path", sorted((ROOT / "docs/screens").glob("*.svg")), ids=lambda path: path.stem)
def test_a_screen_refers_to_nothing_else(path: Path) -> None:
    svg = path.read_text("utf-8")
    links = re.findall(r'(?:href|src|xlink:href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', svg)
    assert all(link.startswith("#") for link in links), "nothing from elsewhere"
    assert "@import" not in svg and "@font-face" not in svg and "<script" not in svg
    assert re.findall(r'="(https?://[^"]+)"', svg) == ["http://www.w3.org/2000/svg"], "a name, not an address"

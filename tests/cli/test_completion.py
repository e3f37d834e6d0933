"""Completion: real shells offer commands, options and the names of the manifest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from world import Project

from synapse_sync.cli.commands import _OTHER_WORDS, VERBS
from synapse_sync.cli.completion import SHELLS

BIN = Path(sys.executable).parent
MANIFEST = """
[targets.comfy]
[targets.forge]
layout = "forge"
[models]
portrait = "civitai:1"
[models.detail]
source = "civitai:2"
groups = ["faces"]
"""


def offered(project: Project, line: str, *, shell: str = "bash") -> list[str]:
    """The completions of a line whose last word is incomplete."""
    project.manifest(MANIFEST)
    words = line.split(" ")
    env = {**os.environ, "_SYNAPSE_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_WORD": words[-1],
           "COMP_CWORD": str(len(words) - 1)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "synapse_sync"],
        cwd=project.path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("synapse rem", ["plain,remove"]),
        ("synapse remove p", ["plain,portrait"]),
        ("synapse show d", ["plain,detail"]),
        ("synapse sync --group f", ["plain,faces"]),
        ("synapse sync --target ", ["plain,comfy", "plain,forge"]),
        ("synapse init --layout sw", ["plain,swarmui"]),
        ("synapse add x --type emb", ["plain,embedding"]),
        ("synapse login hug", ["plain,huggingface"]),
        ("synapse sync --froz", ["plain,--frozen"]),
    ],
)
def test_words_are_offered(project: Project, line: str, words: list[str]) -> None:
    assert offered(project, line) == words


def test_powershell_is_answered_in_its_form(project: Project) -> None:
    assert offered(project, "synapse remove p", shell="powershell") == ["portrait"]
    assert offered(project, "synapse remove ", shell="powershell") == ["detail", "portrait"]


@pytest.mark.parametrize("text", ["[models\n", "models = 1\n", "\xff"])
def test_a_manifest_that_cannot_be_read_completes_nothing(project: Project, text: str) -> None:
    (project.path / "synapse.toml").write_bytes(text.encode("latin-1"))
    asked = {"_SYNAPSE_COMPLETE": "bash_complete", "COMP_WORDS": "synapse show p", "COMP_CWORD": "2"}
    env = {**os.environ, **asked}
    words = [sys.executable, "-m", "synapse_sync"]
    done = subprocess.run(words, cwd=project.path, env=env, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_names_its_line(project: Project, shell: str) -> None:
    done = project("completion", shell)
    assert done.out.startswith("# In ")
    assert "_SYNAPSE_COMPLETE" in done.out
    value = project("completion", shell, "--json").json
    assert value["script"].strip() == done.out.strip()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_real_bash_completes(project: Project) -> None:
    project.manifest(MANIFEST)
    script = (
        'eval "$(synapse completion bash)"; COMP_WORDS=(synapse remove p); COMP_CWORD=2;'
        ' _synapse_completion synapse; echo "${COMPREPLY[@]}"'
    )
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=project.path, env=env, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("portrait", "")


@pytest.mark.parametrize(
    ("words", "hint"),
    [("install", "`synapse sync`"), ("upgrade", "`synapse lock --upgrade`"), ("ls", "`synapse list`"),
     ("rm", "`synapse remove NAME`"), ("auth", "`synapse login SITE`"), ("cache", "`synapse store`")],
)  # fmt: skip
def test_a_verb_of_another_tool_names_ours(project: Project, words: str, hint: str) -> None:
    done = project(words, code=2)
    assert "no such command" in done.err
    assert hint in done.err


def test_the_commands_for_other_tools_verbs_exist() -> None:
    named = {command.split()[0] for commands in _OTHER_WORDS.values() for command in commands}
    assert named <= {*VERBS, "--version"}
    assert not _OTHER_WORDS.keys() & VERBS.keys()


def test_help_of_a_command(project: Project) -> None:
    assert project("help", "sync").out == project("sync", "--help").out
    assert project("help").out == project("--help").out

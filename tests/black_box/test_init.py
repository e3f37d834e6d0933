"""`synapse init`: what it finds, writes, says and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from world import Project

from synapse_sync.core.manifest.schema import manifest_schema
from synapse_sync.demo.weights import safetensors_bytes


def comfyui(directory: Path, *models: str) -> None:
    (directory / "models" / "checkpoints").mkdir(parents=True)
    (directory / "comfy").mkdir()
    for name in models:
        (directory / "models" / "checkpoints" / name).write_bytes(safetensors_bytes(name))


def git(directory: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_first_line_names_the_schema_that_it_writes(project: Project) -> None:
    project("init")
    first = (project.path / "synapse.toml").read_text("utf-8").splitlines()[0]
    assert first.startswith("#:schema ")
    path = project.path / first.removeprefix("#:schema ")
    assert json.loads(path.read_text("utf-8")) == manifest_schema()
    assert (path.parent / ".gitignore").read_text() == "*\n", "git does not see it"


def test_outside_a_repository_nothing_is_written_for_git(project: Project) -> None:
    said = project("init").err
    assert ".git" not in said
    assert sorted(path.name for path in project.path.iterdir()) == [".synapse", "synapse.toml"]


@pytest.mark.parametrize("below", [False, True])
def test_a_store_that_cannot_be_is_refused_before_anything_is_written(project: Project, below: bool) -> None:
    file = project.path.parent / "a-file"
    file.write_text("no directory")
    os.environ["SYNAPSE_STORE"] = str(file / "store" if below else file)
    said = project("init", code=9).err
    assert "cannot be the store: Not a directory" in said and "bytes:" not in said
    assert not (project.path / "synapse.toml").exists()


def test_git_leaves_out_placed_weights_and_nothing_else(project: Project) -> None:
    git(project.path, "init", "-q")
    comfyui(project.path / "ComfyUI")
    assert "wrote .gitignore" in project("init").err
    here = ["ComfyUI/models/checkpoints/a.safetensors", "ComfyUI/models/b/c/d.gguf", "ComfyUI/models/e.pt"]
    others = ["ComfyUI/models/checkpoints/readme.txt", "ComfyUI/main.py", "weights/mine.safetensors"]
    for name in (*here, *others):
        (project.path / name).parent.mkdir(parents=True, exist_ok=True)
        (project.path / name).write_bytes(b"x")
    seen = git(project.path, "status", "--porcelain", "--untracked-files=all").split()[1::2]
    assert set(seen) == {".gitattributes", ".gitignore", "synapse.toml", *others}


@pytest.mark.parametrize("words", [("import", "ComfyUI", "--offline"), ("init", "--adopt", "--offline")])
def test_an_import_into_a_repository_stages_no_weights(project: Project, words: tuple[str, ...]) -> None:
    git(project.path, "init", "-q")
    for root in ("ComfyUI", "Second"):
        comfyui(project.path / root)
        weights = project.path / root / "models/loras/a.safetensors"
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_bytes(safetensors_bytes(root))
    (project.path / "Second").rename(project.path.parent / "Second")
    assert "wrote .gitignore" in project(*words).err
    assert ".safetensors" not in git(project.path, "status", "--porcelain", "--untracked-files=all")
    (project.path.parent / "Second").rename(project.path / "Second")
    assert "wrote .gitignore" in project("import", "Second", "--offline").err, "a new target of a known project"
    assert ".safetensors" not in git(project.path, "status", "--porcelain", "--untracked-files=all")
    assert ".gitignore" not in project("import", "Second", "--offline").err


def test_a_gitignore_is_completed_once_and_what_it_has_counts(project: Project) -> None:
    git(project.path, "init", "-q")
    comfyui(project.path)
    (project.path / ".gitignore").write_bytes(b"*.log\r\n/models/*\r\n")
    assert ".gitignore" not in project("init").err
    (project.path / "synapse.toml").unlink()
    (project.path / ".gitignore").write_bytes(b"*.log\r\n")
    project("init")
    once = (project.path / ".gitignore").read_bytes()
    assert once.startswith(b"*.log\r\n# weights") and b"\r\n/models/**/*.safetensors\r\n" in once
    (project.path / "synapse.toml").unlink()
    assert ".gitignore" not in project("init").err
    assert (project.path / ".gitignore").read_bytes() == once


def test_a_ui_that_is_a_repository_of_its_own_needs_no_lines(project: Project) -> None:
    git(project.path, "init", "-q")
    comfyui(project.path / "ComfyUI")
    git(project.path / "ComfyUI", "init", "-q")
    assert ".gitignore" not in project("init").err


def test_a_project_inside_another_one_is_warned_about(project: Project) -> None:
    project("init")
    inner = project.path / "inner"
    inner.mkdir()
    said = " ".join(replace(project, path=inner)("init").err.split())
    assert f"warning: {project.path} is a project as well" in said
    assert (inner / "synapse.toml").exists()


@pytest.mark.parametrize(
    ("root", "right"),
    [
        ("ComfyUI/models", "ComfyUI"),
        ("ComfyUI/models/loras/", "ComfyUI"),
        ("./models", "."),
        ("my ui/models", "'my ui'"),
    ],
)
def test_the_models_folder_of_a_ui_is_no_root(project: Project, root: str, right: str) -> None:
    said = project("init", "--root", root, code=2).err
    assert "is the UI's `models" in said and f"`--root {right}`" in said
    assert not (project.path / "synapse.toml").exists()
    project("init", "--root", right.strip("'"))
    assert project("sync").code == 0


def test_it_says_where_the_bytes_will_be(project: Project) -> None:
    said = project("init").err
    assert "bytes: ~/store (" in said and "each file is on disk once" in said


@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal")
@pytest.mark.parametrize(("answer", "imported"), [("y", True), ("n", False)])
def test_models_that_are_there_are_offered_for_import(project: Project, answer: str, imported: bool) -> None:
    import pty

    comfyui(project.path / "ComfyUI", "mine.safetensors")
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover: another process
        os.execv(
            sys.executable, [sys.executable, "-m", "synapse_sync", "init", "--offline", "-C", str(project.path)]
        )
    said = b""
    while b"[y/N]" not in said:
        said += os.read(terminal, 4096)
    assert b"1 model found there" in said
    os.write(terminal, f"{answer}\n".encode())
    try:
        while chunk := os.read(terminal, 4096):
            said += chunk
    except OSError:  # Linux ends a pseudo-terminal so
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert ("mine" in (project.path / "synapse.toml").read_text()) is imported
    assert (b"synapse import" in said) is not imported


@pytest.mark.parametrize("name", ["ComfyUI", "comfyui"])
def test_a_bare_volume_with_the_name_of_a_ui_is_its_root(project: Project, name: str) -> None:
    """A pod mounts the models alone: nothing of the program is there."""
    (project.path / "synapse.toml").unlink(missing_ok=True)
    (project.path / name / "models").mkdir(parents=True)
    (project.path / "other" / "models").mkdir(parents=True)
    assert f"layout comfyui, root {name}" in project("init").err
    assert f'root = "{name}"' in (project.path / "synapse.toml").read_text("utf-8")

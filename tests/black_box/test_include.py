"""`include`: models of other manifests, in the project or at a pinned address."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo import catalogue

SHARED = f'[models]\neyes = "civitai:{catalogue.EYES}"\n'
OWN = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'


def files(project: Project) -> set[str]:
    found = (project.path / "models").rglob("*")
    return {path.name for path in found if path.is_file() and ".synapse" not in path.parts}


def shared(project: Project, text: str, name: str = "shared.toml") -> Path:
    path = project.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def served(project: Project, text: str, name: str = "starter.toml") -> str:
    """The pinned line for a manifest that the demo's file server has."""
    url = project.hub.files.put(f"/{name}", text.encode())
    return f"{url}@sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_a_file_of_the_project(project: Project) -> None:
    shared(project, SHARED)
    project.manifest(f'include = ["./shared.toml"]\n{OWN}')
    project("lock")
    assert 'name = "eyes"' in project.lock_text and 'name = "portrait"' in project.lock_text
    project("sync")
    assert len(files(project)) == 2
    assert "in sync: 2 files" in project("sync").out
    shared(project, "[models]\n")
    assert "not in sync" in project("status", code=None).out or project("lock", "--check", code=8)
    project("sync")
    assert len(files(project)) == 1


def test_a_change_of_the_included_file_alone_is_seen_by_a_bare_sync(project: Project) -> None:
    shared(project, SHARED)
    project.manifest(f'include = ["shared.toml"]\n{OWN}')
    project("sync")
    shared(project, f'{SHARED}vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n')
    project("sync")
    assert "portrait_vae.safetensors" in files(project)


def test_edits_are_made_where_a_model_is_declared(project: Project) -> None:
    path = shared(project, SHARED)
    project.manifest(f'include = ["shared.toml"]\n{OWN}')
    project("lock")
    refused = project("remove", "eyes", code=2)
    assert "`eyes` is declared in shared.toml" in refused.err
    project("add", f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors")
    project("remove", "portrait")
    assert path.read_text("utf-8") == SHARED and 'name = "eyes"' in project.lock_text


@pytest.mark.parametrize(
    ("text", "lines", "words"),
    [
        (OWN, '"./shared.toml"', "synapse.toml declares this name, too"),
        (SHARED, '"./other.toml"', "other.toml does not exist"),
        (SHARED, '"./synapse.toml"', "synapse.toml cannot include itself"),
        (SHARED, '"../shared.toml"', "include: "),
        (SHARED, '"https://example.org/a.toml"', "is not pinned"),
        (SHARED, '"https://example.org/a.toml@sha256:12"', "64 hexadecimal digits"),
        (f"[workspace]\npreviews = true\n{SHARED}", '"./shared.toml"', "shared.toml:1: workspace: unknown key"),
        ("[models]\nx = 1\n", '"./shared.toml"', "shared.toml:2: models.x"),
        ("[models\n", '"./shared.toml"', "shared.toml:1"),
    ],
)
def test_mistakes_name_their_file(project: Project, text: str, lines: str, words: str) -> None:
    shared(project, text)
    project.manifest(f"include = [{lines}]\n{OWN}")
    assert words in project("lock", code=2).err


def test_circles_end(project: Project) -> None:
    shared(project, f'include = ["b.toml"]\n{SHARED}')
    shared(project, f'include = ["shared.toml"]\n[models]\nvae = "hf://{catalogue.VAE_REPO}"\n', "b.toml")
    project.manifest(f'include = ["./shared.toml"]\n{OWN}')
    project("lock")
    assert project.lock_text.count("[[model]]") == 3


def test_a_pinned_address_is_downloaded_once(project: Project) -> None:
    line = served(project, SHARED)
    project.manifest(f'include = ["{line}"]\n{OWN}')
    assert "`synapse lock` downloads" in project("status", code=2).err
    project("sync")
    assert len(files(project)) == 2
    project.hub.clear_log()
    assert "in sync" in project("sync", "--offline").out
    assert not [seen for seen in project.hub.requests() if "starter" in seen.path]


def test_other_bytes_than_the_pinned_ones_are_refused(project: Project) -> None:
    line = served(project, SHARED)
    served(project, SHARED + "# changed\n")
    project.manifest(f'include = ["{line}"]\n{OWN}')
    refused = project("lock", code=6)
    assert "included manifest" in refused.err and "starter.toml" in refused.err
    assert not (project.path / "synapse.lock").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[models.x]\nsource = "civitai:1"\nallow-pickle = true\n', "cannot permit this"),
        ('[models.x]\nsource = "civitai:1"\nallow-code = true\n', "cannot permit this"),
        ('[models]\nx = "./secret.safetensors"\n', "cannot name files of this machine"),
        ('[models.x]\nsource = "civitai:1"\nmirrors = ["/etc/passwd"]\n', "cannot name files of this machine"),
        (f'include = ["./shared.toml"]\n{SHARED}', "may not include shared.toml"),
    ],
)
def test_what_comes_from_elsewhere_permits_nothing(project: Project, text: str, words: str) -> None:
    shared(project, "[models]\n")
    line = served(project, text)
    project.manifest(f'include = ["{line}"]\n{OWN}')
    assert words in project("lock", code=2).err


def test_offline_without_the_file_says_so(project: Project) -> None:
    project.manifest(f'include = ["{served(project, SHARED)}"]\n{OWN}')
    assert "--offline" in project("sync", "--offline", code=5).err

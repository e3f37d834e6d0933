"""Hosts that the user's settings lead elsewhere: for the API and for files, and never in what is written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from stand_ins import typed
from world import Project

from synapse_sync.demo import catalogue

CANARY = "canary-of-the-old-host"
VAE = f'a = {{ source = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", type = "vae" }}'
TREE = f'a = {{ source = "hf://{catalogue.TREE_REPO}", type = "diffusers" }}'
PORTRAIT = f'a = "civitai:{catalogue.PORTRAIT}"'
PLAIN = f'a = {{ source = "https://files.example/files/{catalogue.PLAIN_LORA}", type = "lora" }}'


@pytest.fixture
def rewritten(project: Project, sandbox: Path) -> Path:
    """The real names lead to the hub; the settings' file, to add to."""
    hub = project.hub
    for name in ("CIVITAI_ENDPOINT", "HF_ENDPOINT", "CIVITAI_API_KEY", "HF_TOKEN"):
        del os.environ[name]
    path = sandbox / "config.toml"
    path.write_text(
        "[rewrites]\n"
        f'"huggingface.co" = "{hub.huggingface.url}"\n'
        f'"Civitai.com" = "{hub.civitai_url}/"\n'
        f'"files.example" = "{hub.files.url}"\n'
    )
    return path


@pytest.mark.parametrize("line", [VAE, TREE, PORTRAIT, PLAIN])
def test_api_and_files_come_from_the_other_host(project: Project, rewritten: Path, line: str) -> None:
    os.environ["CIVITAI_API_KEY"] = CANARY
    os.environ["HF_TOKEN"] = CANARY
    own = project.hub.civitai_url.removeprefix("http://")
    with rewritten.open("a") as file:
        file.write(f'[tokens]\n"files.example" = "{CANARY}"\n"{own}" = "{project.hub.civitai_token}"\n')
    project.manifest(f"[models]\n{line}\n")
    project("sync")
    assert project.tree()
    hub = project.hub
    assert not any(url in project.lock_text for url in (hub.civitai_url, hub.huggingface.url, hub.files.url))
    assert all(CANARY not in str(seen.headers) for seen in project.hub.log)
    asked = len(project.hub.log)
    project("sync", "--locked")
    assert len(project.hub.log) == asked, "it is in sync"


def test_the_other_host_has_a_token_of_its_own(project: Project, rewritten: Path) -> None:
    os.environ["HF_TOKEN"] = CANARY
    hub = project.hub
    hub.huggingface.grant(catalogue.GATED_REPO)
    project.manifest(f'[models]\na = {{ source = "hf://{catalogue.GATED_REPO}", type = "vae" }}\n')
    assert project("sync", code=None).code == 3
    with rewritten.open("a") as file:
        host = hub.huggingface.url.removeprefix("http://")
        file.write(f'[tokens]\n"{host}" = "{hub.huggingface_token}"\n')
    project("sync")
    assert project.tree()
    sent = {seen.headers.get("authorization") for seen in hub.requests("huggingface")}
    assert sent == {None, f"Bearer {hub.huggingface_token}"}
    assert all("authorization" not in seen.headers for seen in hub.requests("storage"))


def test_a_mirror_of_civitai_may_want_no_token(project: Project, rewritten: Path) -> None:
    """Nobody refuses beforehand; what the mirror says counts."""
    project.manifest(f"[models]\n{PORTRAIT}\n")
    project("sync", code=3)
    assert any(seen.path.startswith("/api/download/") for seen in project.hub.log)


def test_redirects_to_a_rewritten_host_are_rewritten_too(project: Project, rewritten: Path, tmp_path: Path) -> None:
    from synapse_sync.demo.exchange import Fault

    plain = f"/files/{catalogue.PLAIN_LORA}"
    moved = {"Location": f"https://files.example{plain}"}
    project.hub.faults.add("/elsewhere.safetensors", Fault(status=302, headers=moved))
    project.manifest(
        f'[models]\na = {{ source = "{project.hub.files.url}/elsewhere.safetensors", type = "lora" }}\n'
    )
    project("sync")
    assert [seen.path for seen in project.hub.requests("files")][:2] == ["/elsewhere.safetensors", plain]


def test_a_hub_that_redirects_to_a_rewritten_host_is_followed_to_where_that_is(
    project: Project, sandbox: Path
) -> None:
    """The hub's own library follows its redirects itself; the token stays with the host it belongs to."""
    from synapse_sync.demo.exchange import Fault

    hub = project.hub
    (sandbox / "config.toml").write_text(f'[rewrites]\n"hub.example" = "{hub.files.url}"\n')
    path = f"/api/models/{catalogue.VAE_REPO}/revision/main"
    answer = {"id": catalogue.VAE_REPO, "sha": "1" * 40, "siblings": [], "lastModified": "2024-05-01T00:00:00.000Z"}
    moved = {"Location": f"https://hub.example{path}?blobs=True"}
    hub.faults.add(path, Fault(status=307, headers=moved, origin="huggingface"))
    hub.faults.add(path, Fault(status=200, body=json.dumps(answer).encode(), origin="files"))
    project.manifest(f"[models]\n{VAE}\n")
    assert "no file `portrait_vae.safetensors` at commit 111111111111" in " ".join(
        project("lock", code=4).err.split()
    )
    assert [(seen.origin, seen.headers["host"]) for seen in hub.log] == [
        ("huggingface", hub.huggingface.url.removeprefix("http://")),
        ("files", hub.files.url.removeprefix("http://")),
    ]
    assert "authorization" in hub.log[0].headers and "authorization" not in hub.log[1].headers


def test_a_hub_that_redirects_to_plain_http_is_not_followed(project: Project) -> None:
    from synapse_sync.demo.exchange import Fault

    moved = {"Location": "http://hub.example/api/models/x"}
    project.hub.faults.add("/api/models/", Fault(status=307, headers=moved, origin="huggingface"))
    project.manifest(f"[models]\n{VAE}\n")
    assert "refusing plain http" in project("lock", code=5).err


@pytest.mark.parametrize(
    "line",
    [
        '"huggingface.co" = "hf-mirror.example"',
        '"huggingface.co" = "https://user:pw@hf-mirror.example"',
        '"huggingface.co" = "https://hf-mirror.example/?token=1"',
        '"https://huggingface.co" = "https://hf-mirror.example"',
        '"huggingface.co" = 1',
    ],
)
def test_rewrites_that_make_no_sense(project: Project, sandbox: Path, line: str) -> None:
    (sandbox / "config.toml").write_text(f"[rewrites]\n{line}\n")
    project.manifest(f"[models]\n{VAE}\n")
    done = project("lock", code=2)
    assert "rewrites" in done.err and "https://mirror.example" in done.err
    assert "user:pw" not in done.err


def test_plain_http_is_not_allowed_by_a_rewrite(project: Project, sandbox: Path) -> None:
    (sandbox / "config.toml").write_text('[rewrites]\n"files.example" = "http://mirror.example"\n')
    project.manifest(f"[models]\n{PLAIN}\n")
    assert "refusing plain http" in project("lock", code=5).err


def test_a_token_is_not_checked_with_who_stands_in_for_its_site(project: Project, rewritten: Path) -> None:
    os.environ["HF_TOKEN"] = CANARY
    done = project("whoami", "huggingface")
    assert "not checked" in done.out and "rewrites" in done.out
    with typed(CANARY):
        done = project("login", "civitai", "--token-stdin")
    assert "the first download will show" in done.err
    assert project.hub.log == []

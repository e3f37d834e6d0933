"""The hub's Hugging Face, asked by the real `huggingface_hub` where that has a word for it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub

SDXL_VAE = "madebyollin/sdxl-vae-fp16-fix"


@pytest.fixture
def api(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The real client, with our token; its own settings are read at import, long before this.

    `constants.ENDPOINT` stays as it is: the client puts our endpoint in place of that one.
    """
    from huggingface_hub import HfApi, close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield HfApi(endpoint=hub.huggingface.url, token=hub.huggingface_token)
    close_session()


def call(
    hub: Hub, path: str, *, method: str = "GET", token: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request, and no redirect followed; header names in lower case."""
    connection = http.client.HTTPConnection(urlsplit(hub.huggingface.url).netloc, timeout=10)
    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def git_sha1(content: bytes) -> str:
    """What `git hash-object` says."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def files_of(hub: Hub, name: str) -> dict[str, bytes]:
    repo = hub.huggingface.repos[name]
    return repo.commits[repo.refs["main"]]


# -- listings ---------------------------------------------------------------------------------------


def test_repo_info_knows_sizes_and_digests(hub: Hub, api: Any) -> None:
    info = api.repo_info(SDXL_VAE, files_metadata=True)
    files = files_of(hub, SDXL_VAE)
    assert re.fullmatch("[0-9a-f]{40}", info.sha)
    assert (info.id, info.gated, info.private, info.card_data.license) == (SDXL_VAE, False, False, "mit")
    assert {sibling.rfilename for sibling in info.siblings} == set(files)
    for sibling in info.siblings:
        content = files[sibling.rfilename]
        assert sibling.size == len(content)
        if sibling.rfilename.endswith(".safetensors"):
            sha256 = hashlib.sha256(content).hexdigest()
            pointer = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
            )
            assert (sibling.lfs.sha256, sibling.lfs.size) == (sha256, len(content))
            assert (sibling.lfs.pointer_size, sibling.blob_id) == (len(pointer), git_sha1(pointer))
        else:
            assert (sibling.lfs, sibling.blob_id) == (None, git_sha1(content))


def test_without_files_metadata_no_sizes_are_told(api: Any) -> None:
    assert {sibling.size for sibling in api.repo_info(SDXL_VAE).siblings} == {None}


def test_the_tree_of_one_level_and_of_a_folder(api: Any) -> None:
    from huggingface_hub.hf_api import RepoFile, RepoFolder

    top = list(api.list_repo_tree(catalogue.TREE_REPO))
    assert {entry.path for entry in top if isinstance(entry, RepoFile)} == {"README.md", "model_index.json"}
    assert {entry.path for entry in top if isinstance(entry, RepoFolder)} == {"unet", "vae"}
    vae = {entry.path for entry in api.list_repo_tree(catalogue.TREE_REPO, "vae", recursive=True)}
    assert vae == {"vae/config.json", "vae/model.safetensors"}


def test_a_tree_of_many_pages_is_read_to_its_end(hub: Hub, api: Any) -> None:
    names = {f"{number:04}.txt": b"%d" % number for number in range(2_345)}
    hub.huggingface.add_repo("studio/many", names)
    hub.clear_log()
    assert {entry.path for entry in api.list_repo_tree("studio/many", recursive=True)} == set(names)
    assert len([seen for seen in hub.requests("huggingface") if "/tree/" in seen.path]) == 3


def test_paths_info_drops_what_is_not_there(hub: Hub, api: Any) -> None:
    (found,) = api.get_paths_info(SDXL_VAE, ["sdxl_vae.safetensors", "nothing.bin"])
    assert found.lfs.sha256 == hashlib.sha256(files_of(hub, SDXL_VAE)["sdxl_vae.safetensors"]).hexdigest()


def test_refs_commits_and_tags(hub: Hub, api: Any) -> None:
    name, files = catalogue.VAE_REPO, files_of(hub, catalogue.VAE_REPO)
    first = hub.huggingface.repos[name].refs["main"]
    hub.huggingface.tag(name, "v1")
    second = hub.huggingface.commit(name, {**files, "README.md": b"# Newer\n"})
    refs = api.list_repo_refs(name)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": second}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": first}
    assert [commit.commit_id for commit in api.list_repo_commits(name)] == [second, first]
    assert [commit.commit_id for commit in api.list_repo_commits(name, revision="v1")] == [first]
    assert [api.repo_info(name, revision=at).sha for at in ("main", "v1", first)] == [second, first, first]


def test_datasets_are_a_world_of_their_own(hub: Hub, api: Any, tmp_path: Path) -> None:
    hub.huggingface.add_repo("datasets/studio/words", {"words.txt": b"one two"})
    assert api.repo_info("studio/words", repo_type="dataset").id == "studio/words"
    path = api.hf_hub_download("studio/words", "words.txt", repo_type="dataset", local_dir=tmp_path)
    assert Path(path).read_bytes() == b"one two"
    assert not api.repo_exists("studio/words")


def test_a_pull_request_has_a_tree_of_its_own(hub: Hub, api: Any, tmp_path: Path) -> None:
    ref = hub.huggingface.propose(catalogue.VAE_REPO, {"proposed.safetensors": b"proposed"})
    assert ref == "refs/pr/1"
    refs = api.list_repo_refs(catalogue.VAE_REPO, include_pull_requests=True)
    assert [(pull.ref, pull.target_commit) for pull in refs.pull_requests] == [
        (ref, api.repo_info(catalogue.VAE_REPO, revision=ref).sha)
    ]
    assert [branch.name for branch in refs.branches] == ["main"]
    path = api.hf_hub_download(catalogue.VAE_REPO, "proposed.safetensors", revision=ref, cache_dir=tmp_path)
    assert Path(path).read_bytes() == b"proposed"
    assert {entry.path for entry in api.list_repo_tree(catalogue.VAE_REPO)} == set(
        files_of(hub, catalogue.VAE_REPO)
    )


def test_a_renamed_repository_answers_under_both_names(hub: Hub, api: Any, tmp_path: Path) -> None:
    hub.huggingface.rename(SDXL_VAE, "studio/vae")
    assert api.repo_info(SDXL_VAE, files_metadata=True).id == "studio/vae"
    assert len(list(api.list_repo_tree(SDXL_VAE, recursive=True))) == len(files_of(hub, "studio/vae"))
    for name in ("config.json", "sdxl_vae.safetensors"):
        path = Path(api.hf_hub_download(SDXL_VAE, name, cache_dir=tmp_path))
        assert path.read_bytes() == files_of(hub, "studio/vae")[name]


def hf(hub: Hub, *words: str) -> None:
    """The real command in a process of its own, as users have it; every request of it must be answered well."""
    hub.clear_log()
    environ = {**os.environ, **hub.environment(), "HF_HUB_DISABLE_UPDATE_CHECK": "1", "DO_NOT_TRACK": "1"}
    command = [str(Path(sys.executable).with_name("hf")), *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [seen for seen in hub.log if seen.status >= 400] == []


@pytest.mark.parametrize("revision", ["main", "refs/pr/1"])
@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_the_real_command_downloads_whole_repositories(hub: Hub, tmp_path: Path, kind: str, revision: str) -> None:
    prefix = "" if kind == "model" else f"{kind}s/"
    index = json.dumps({"weight_map": {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}})
    files = {
        "README.md": b"# Large",
        "t/m-00001-of-00002.safetensors": b"first",
        "t/m-00002-of-00002.safetensors": b"second",
        "t/m.safetensors.index.json": index.encode(),
    }
    hub.huggingface.add_repo(f"{prefix}studio/large", {"other": b""} if revision != "main" else files)
    if revision != "main":
        assert hub.huggingface.propose(f"{prefix}studio/large", files) == revision
    hf(hub, "download", "studio/large", "--repo-type", kind, "--revision", revision, "--local-dir", str(tmp_path))
    got = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }
    assert got == files


def test_commits_have_the_same_names_in_every_run_and_differ_by_content() -> None:
    def names(content: bytes) -> list[str]:
        hub = Hub()
        with hub:
            first = hub.huggingface.add_repo("a/b", {"x": content})
            return [first, hub.huggingface.commit("a/b", {"x": content})]

    assert names(b"1") == names(b"1")
    assert len({*names(b"1"), *names(b"2")}) == 4


def test_a_commit_and_a_card_may_be_given(hub: Hub, api: Any) -> None:
    name = "studio/given"
    hub.huggingface.add_repo(name, {"a": b"a"}, commit="c" * 40, card={"base_model": "some/base"}, license=None)
    info = api.repo_info(name)
    assert (info.sha, info.card_data.base_model, info.card_data.license) == ("c" * 40, "some/base", None)


# -- files ------------------------------------------------------------------------------------------


def test_the_real_client_downloads_lfs_and_git_files(hub: Hub, api: Any, tmp_path: Path) -> None:
    files = files_of(hub, SDXL_VAE)
    hub.clear_log()
    for name in ("config.json", "sdxl_vae.safetensors"):
        path = Path(api.hf_hub_download(SDXL_VAE, name, cache_dir=tmp_path))
        assert path.read_bytes() == files[name]
    sent = hub.requests("storage")
    assert [seen.method for seen in sent] == ["GET"], "only the weights come from storage"
    assert all("authorization" not in seen.headers for seen in sent)


def test_the_real_client_reads_plain_http_where_xet_is_offered_too(hub: Hub, api: Any, tmp_path: Path) -> None:
    hub.huggingface.add_repo("studio/xet", {"a.safetensors": b"weights"}, xet=True)
    (row,) = api.list_repo_tree("studio/xet")
    url = f"{hub.huggingface.url}/studio/xet/resolve/main/a.safetensors"
    assert api.get_hf_file_metadata(url=url).xet_file_data.file_hash == row.xet_hash != row.lfs.sha256
    assert Path(api.hf_hub_download("studio/xet", "a.safetensors", cache_dir=tmp_path)).read_bytes() == b"weights"


def test_an_old_commit_keeps_its_bytes(hub: Hub, api: Any, tmp_path: Path) -> None:
    name = catalogue.VAE_REPO
    old, before = hub.huggingface.repos[name].refs["main"], files_of(hub, name)["portrait_vae.safetensors"]
    hub.huggingface.commit(name, {"portrait_vae.safetensors": b"newer"})
    got = [
        Path(api.hf_hub_download(name, "portrait_vae.safetensors", revision=at, cache_dir=tmp_path)).read_bytes()
        for at in (old, "main")
    ]
    assert got == [before, b"newer"]


def test_resolve_says_where_and_what(hub: Hub) -> None:
    commit, files = hub.huggingface.repos[SDXL_VAE].refs["main"], files_of(hub, SDXL_VAE)
    content = files["sdxl_vae.safetensors"]
    for method in ("GET", "HEAD"):
        status, headers, _ = call(hub, f"/{SDXL_VAE}/resolve/main/sdxl_vae.safetensors", method=method)
        assert (status, headers["x-repo-commit"]) == (302, commit)
        assert headers["x-linked-size"] == str(len(content))
        assert headers["x-linked-etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
        assert headers["location"].startswith(hub.storage.url)
    status, headers, body = call(hub, f"/{SDXL_VAE}/resolve/{commit}/config.json")
    assert (status, body, headers["x-repo-commit"]) == (200, files["config.json"], commit)
    assert headers["etag"] == f'"{git_sha1(body)}"'


# -- refusals ---------------------------------------------------------------------------------------


def test_the_real_client_tells_the_refusals_apart(hub: Hub, api: Any) -> None:
    from huggingface_hub.errors import (
        DisabledRepoError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    with pytest.raises(RepositoryNotFoundError):
        api.repo_info("nobody/nothing")
    hub.huggingface.disable(catalogue.TREE_REPO)
    for call_it in (
        lambda: api.repo_info(catalogue.TREE_REPO),
        lambda: list(api.list_repo_tree(catalogue.TREE_REPO)),
    ):
        with pytest.raises(DisabledRepoError):
            call_it()
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(SDXL_VAE, revision="nowhere")
    url = f"{hub.huggingface.url}/{SDXL_VAE}/resolve/main/nothing.bin"
    with pytest.raises(RemoteEntryNotFoundError):
        api.get_hf_file_metadata(url=url)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(SDXL_VAE, "nothing"))


def test_a_gated_repository_is_seen_but_not_given_until_it_is_granted(hub: Hub, api: Any, tmp_path: Path) -> None:
    from huggingface_hub.errors import GatedRepoError

    name, path = catalogue.GATED_REPO, f"/{catalogue.GATED_REPO}/resolve/main/model.safetensors"
    assert api.repo_info(name).gated == "manual"
    status, headers, _ = call(hub, path)
    assert (status, headers["x-error-code"]) == (401, "GatedRepo")
    status, headers, _ = call(hub, path, token=hub.huggingface_token)
    assert (status, headers["x-error-code"]) == (403, "GatedRepo")
    with pytest.raises(GatedRepoError):
        api.get_hf_file_metadata(url=hub.huggingface.url + path)
    hub.huggingface.request_access(name)
    with pytest.raises(GatedRepoError, match="awaiting a review"):
        api.get_hf_file_metadata(url=hub.huggingface.url + path)
    hub.huggingface.grant(name)
    assert call(hub, path)[0] == 401, "a stranger is still one"
    got = Path(api.hf_hub_download(name, "model.safetensors", cache_dir=tmp_path))
    assert got.read_bytes() == files_of(hub, name)["model.safetensors"]


def test_a_private_repository_does_not_exist_for_strangers(hub: Hub, api: Any) -> None:
    hub.huggingface.add_repo("studio/private", {"a.txt": b"a"}, private=True)
    for token, status in ((None, 401), (hub.civitai_token, 404), (hub.huggingface_token, 200)):
        got, headers, _ = call(hub, "/api/models/studio/private", token=token)
        assert got == status
        assert headers.get("x-error-code") == (None if status == 200 else "RepoNotFound")


def test_whoami_wants_the_token(hub: Hub, api: Any) -> None:
    assert api.whoami()["name"] == "newcomer"
    assert call(hub, "/api/whoami-v2", token="wrong")[0] == 401


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/studio/portrait-vae/resolve", 404),
        ("GET", "/studio/portrait-vae/resolve/main", 404),
        ("GET", "/", 404),
        ("GET", "/api/models?search=x&limit=nonsense", 200),
        ("GET", "/api/nothing", 404),
        ("POST", "/api/models/studio/portrait-vae", 405),
        ("GET", "/api/models/studio/portrait-vae/paths-info/main", 405),
        ("DELETE", "/studio/portrait-vae/resolve/main/README.md", 405),
        ("GET", "/api/models/studio/portrait-vae/tree/main?cursor=nonsense", 200),
    ],
)
def test_odd_requests_are_refused_without_a_crash(hub: Hub, method: str, path: str, status: int) -> None:
    assert call(hub, path, method=method)[0] == status


def test_the_hub_stands_when_it_is_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "synapse_sync.demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as standing:
        try:
            assert standing.stdout is not None
            lines: list[str] = []
            while not any(line.startswith("export HF_TOKEN=") for line in lines):
                lines.append(standing.stdout.readline())
                assert lines[-1], "it ended"
            said = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
            connection = http.client.HTTPConnection(urlsplit(said["CIVITAI_ENDPOINT"]).netloc, timeout=10)
            connection.request("GET", f"/api/v1/models/{catalogue.PORTRAIT}")
            with connection.getresponse() as answer:
                assert json.loads(answer.read())["name"] == "Portrait Studio"
            connection.close()
        finally:
            standing.kill()

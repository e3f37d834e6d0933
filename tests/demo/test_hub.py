"""The hub, asked by a client that we did not write: it must not be wrong in the same way as we are."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from world import audited

from synapse_sync.core.safetensors import check_header
from synapse_sync.demo import catalogue, weights
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.server import Listener


def ask(
    url: str, token: str | None = None, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """A request by the standard library, which drops no header at a redirect and follows them itself."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


@pytest.fixture
def api(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Any:
    from huggingface_hub import HfApi

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.huggingface.url)
    return HfApi(endpoint=hub.huggingface.url, token=hub.huggingface_token)


def test_the_real_client_lists_a_repository(hub: Hub, api: Any) -> None:
    info = api.repo_info(catalogue.TREE_REPO, files_metadata=True)
    files = hub.huggingface.repos[catalogue.TREE_REPO].commits[info.sha]
    assert {s.rfilename: s.size for s in info.siblings} == {path: len(data) for path, data in files.items()}
    for sibling in info.siblings:
        if sibling.lfs is not None:
            assert sibling.lfs.sha256 == hashlib.sha256(files[sibling.rfilename]).hexdigest()
    assert {entry.path for entry in api.list_repo_tree(catalogue.TREE_REPO, recursive=True)} == set(files)
    assert api.whoami()["name"] == "newcomer"


def hf_download(hub: Hub, home: Path, *words: str, token: bool = True) -> subprocess.CompletedProcess[str]:
    """The real `hf download`, in a process of its own: it reads its endpoint when it is imported."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HOME": str(home / "hf"), **hub.environment()}
    if not token:
        del environment["HF_TOKEN"]
    command = [sys.executable, "-m", "huggingface_hub.cli.hf", "download", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_real_client_downloads_a_repository(hub: Hub, tmp_path: Path) -> None:
    done = hf_download(hub, tmp_path, catalogue.TREE_REPO, "--local-dir", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    files = hub.huggingface.repos[catalogue.TREE_REPO]
    out = tmp_path / "out"
    got = {
        str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and ".cache" not in p.parts
    }
    assert got == files.commits[files.refs["main"]]
    assert not [seen for seen in hub.requests("storage") if "authorization" in seen.headers]
    # What the client asks besides files and listings (which tools it may advertise) is no business of the hub.
    asked = [seen for seen in hub.requests() if seen.path != "/api/agent-harnesses"]
    assert {seen.status for seen in asked} <= {200, 206, 302, 307}


@pytest.mark.parametrize(
    "words, says",
    [
        (("nobody/nothing",), "not found"),
        ((catalogue.VAE_REPO, "nothing.safetensors"), "not found"),
        ((catalogue.VAE_REPO, "--revision", "nowhere"), "revision"),
        ((catalogue.GATED_REPO, "model.safetensors"), "gated"),
    ],
)
def test_the_real_client_understands_the_refusals(
    hub: Hub, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    done = hf_download(hub, tmp_path, *words)
    assert done.returncode != 0
    assert says.lower() in (done.stderr + done.stdout).lower()


def test_a_civitai_download_needs_a_token_and_ends_at_storage(hub: Hub) -> None:
    url = f"{hub.civitai_url}/api/download/models/{catalogue.PORTRAIT_V1}"
    assert ask(url)[0] == 401
    assert ask(url, token="wrong")[0] == 401
    status, _, _ = ask(url, token=hub.civitai_token)
    assert status == 400, "the standard library carries the token on to storage, which refuses it"
    assert hub.requests("storage")[-1].status == 400


def test_storage_serves_ranges_until_the_signature_expires(hub: Hub) -> None:
    content = b"0123456789"
    url = hub.files.put("x.bin", content, redirect_to_storage=True)
    status, headers, body = ask(url, Range="bytes=2-4")
    assert (status, body, headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert ask(url, Range="bytes=10-")[0] == 416
    hub.storage.signed_seconds = -1
    assert ask(url)[0] == 403


def test_mature_models_vanish_from_lists_without_nsfw(hub: Hub) -> None:
    base = f"{hub.civitai_url}/api/v1/models?ids={catalogue.MATURE}&limit=100"
    assert json.loads(ask(base)[2])["items"] == []
    assert len(json.loads(ask(base + "&nsfw=true")[2])["items"]) == 1


def test_all_doors_of_a_hub_stop_together() -> None:
    """One thread accepts for all. A connection that nobody closed ends with the hub, and nothing answers then."""
    before = set(threading.enumerate())  # of which some may end meanwhile

    def new() -> int:
        return len({*threading.enumerate()} - before)

    with audited("socket.bind") as bound, Hub() as hub:
        assert new() == 1
        place = urllib.parse.urlsplit(hub.civitai_url).netloc
        kept = http.client.HTTPConnection(place, timeout=10)
        kept.request("GET", "/login")
        kept.getresponse().read()
        assert new() == 2
    assert new() == 0
    kept.close()
    # Not by a connection: the port may be that of another process by now.
    assert len(bound) > 1 and all(door.fileno() < 0 for door, _ in bound)


def test_a_stop_waits_for_a_connection_that_is_at_its_end() -> None:
    at_its_end, may_end = threading.Event(), threading.Event()

    class Slow(Listener):
        def shutdown_request(self, request: Any) -> None:
            at_its_end.set()
            may_end.wait(60)
            super().shutdown_request(request)

    listener = Slow(BaseHTTPRequestHandler)
    listener.start()
    socket.create_connection(("127.0.0.1", listener.server_port)).close()
    assert at_its_end.wait(60)
    stopping = threading.Thread(target=listener.stop)
    stopping.start()
    stopping.join(0.2)  # without the wait, it is over at once
    assert stopping.is_alive()
    may_end.set()
    stopping.join(60)
    assert not stopping.is_alive()


def test_what_becomes_of_one_hub_is_unknown_to_the_next() -> None:
    for _ in range(2):
        with Hub() as hub:
            catalogue.populate(hub)
            repo = hub.huggingface.repos[catalogue.TREE_REPO]
            (commit,) = repo.commits
            assert "new" not in {*repo.commits[commit], *repo.refs, *repo.tags, *repo.dates, *repo.card}
            for part in (repo.commits[commit], repo.refs, repo.tags, repo.dates, repo.card):
                part["new"] = ""
            hub.huggingface.add_repo(catalogue.TREE_REPO, {"new": b""})


def test_every_file_of_weights_is_genuine() -> None:
    for seed in ("a", "b"):
        data = weights.safetensors_bytes(seed, size=10_000, metadata={"format": "pt"})
        check_header(data, len(data))
    assert weights.gguf_bytes("a").startswith(b"GGUF")
    assert weights.noise("a", 10) == weights.noise("a", 10) != weights.noise("b", 10)


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["-h"], 0), (["8080"], 2)])
def test_a_word_after_the_hub_starts_none(words: list[str], code: int) -> None:
    command = [sys.executable, "-m", "synapse_sync.demo", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == code and "Usage: " in (ended.stderr if code else ended.stdout)

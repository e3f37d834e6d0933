"""No request waits for another without need, and one connection serves the next request too."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler

import pytest
from turnstile import Answer, ranged, turnstile
from world import Project

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.reference import Reference
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine.heal import find_locations
from synapse_sync.net.credentials import Credentials
from synapse_sync.net.wire import Wire
from synapse_sync.sites import SITES
from synapse_sync.sources.base import Found, Wanted
from synapse_sync.sources.url import UrlSource

pytestmark = pytest.mark.usefixtures("impatient")
CONTENT = safetensors_bytes("a", size=200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def promised(*urls: str) -> str:
    lines = (
        f'm{n} = {{ source = "{url}", sha256 = "{SHA256}", type = "lora", filename = "m{n}.safetensors" }}\n'
        for n, url in enumerate(urls)
    )
    return "[models]\n" + "".join(lines)


def sizes(project: Project) -> set[int]:
    return {artifact["size"] for model in project.locked() for artifact in model["artifact"]}


def test_the_sizes_of_plain_urls_are_asked_side_by_side(project: Project) -> None:
    with turnstile(ranged(CONTENT), together=8) as server:
        project.manifest(promised(*(f"{server.url}/{n}/weights.safetensors" for n in range(16))))
        project("lock")
    assert (server.alone, len(server.requests)) == (0, 16)
    assert sizes(project) == {len(CONTENT)}


def test_the_names_of_vague_urls_are_asked_side_by_side(project: Project) -> None:
    def named(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
        status, body, headers = ranged(CONTENT)(handler, path)
        return status, body, {**headers, "Content-Disposition": 'attachment; filename="w.safetensors"'}

    with turnstile(named, together=4) as server:
        project.manifest(promised(*(f"{server.url}/{n}" for n in range(4))))
        project("lock")
    assert (server.alone, len(server.requests)) == (0, 8)  # a name and a size of each


def test_name_size_and_file_come_over_one_connection(project: Project) -> None:
    with turnstile(ranged(CONTENT)) as server:
        project.manifest(promised(f"{server.url}/download"))
        project("sync")
    assert server.requests == ["GET /download"] * 3
    assert server.connections == 1


def whole(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
    return 200, CONTENT, {}


def liar(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
    return (
        (206, CONTENT[5:6], {"Content-Range": "bytes 5-5/9"}) if "Range" in handler.headers else (200, CONTENT, {})
    )


def silent(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
    return (
        (206, CONTENT[:1], {"Content-Range": "bytes 0-0/*"}) if "Range" in handler.headers else (200, CONTENT, {})
    )


@pytest.mark.parametrize(
    ("answer", "requests"), [(ranged(CONTENT), 1), (whole, 1), (liar, 2), (silent, 2)], ids=["range", "no range",
     "another range", "no total"]
)  # fmt: skip
def test_every_server_says_a_size(project: Project, answer: Answer, requests: int) -> None:
    with turnstile(answer) as server:
        project.manifest(promised(f"{server.url}/weights.safetensors"))
        project("lock")
    assert sizes(project) == {len(CONTENT)} and len(server.requests) == requests


def test_an_empty_file_has_a_size(project: Project) -> None:
    with turnstile(ranged(b"")) as server:
        empty = hashlib.sha256(b"").hexdigest()
        line = f'{{ source = "{server.url}/notes.txt", sha256 = "{empty}", type = "other" }}'
        project.manifest(f'[targets.t]\nlayout = "flat"\nroot = "t"\n[models]\na = {line}\n')
        project("lock", "--trust")
    assert sizes(project) == {0}


def test_all_tokens_are_checked_side_by_side(project: Project) -> None:
    def user(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
        return 200, json.dumps({"username": "me", "login": "me", "id": 1}).encode(), {}

    with turnstile(user, together=2) as server:
        os.environ |= {"CIVITAI_ENDPOINT": server.url, "CIVITAI_API_KEY": "a" * 32}
        os.environ |= {"GITHUB_API_URL": server.url, "GITHUB_TOKEN": "b" * 32}
        states = [each["state"] for each in project("whoami", "--json").json["identities"]]
    # The third token is that of the hub, at its own address.
    assert (server.alone, len(server.requests), states.count("valid")) == (0, 2, 3)


def test_the_sources_of_a_lock_are_asked_side_by_side(project: Project) -> None:
    release = {"tag_name": "v1", "assets": [{"name": "w.gguf", "size": 9, "browser_download_url": "https://x/w.gguf",
               "digest": f"sha256:{SHA256}"}]}  # fmt: skip
    listing = {"Data": {"Files": [{"Path": "w.gguf", "Name": "w.gguf", "Size": 9, "Type": "blob", "Sha256": SHA256,
               "Revision": "0" * 40}], "LatestCommitter": {"Id": "0" * 40}}}  # fmt: skip

    def site(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
        return 200, json.dumps(listing if "/api/v1/" in path else release).encode(), {}

    with turnstile(site, together=4) as server:
        os.environ |= dict.fromkeys(("GITHUB_API_URL", "GITHUB_SERVER_URL", "MODELSCOPE_ENDPOINT"), server.url)
        references = [f"gh:o/{name}@v1/w.gguf" for name in "ab"] + [f"modelscope:o/{name}/w.gguf" for name in "ab"]
        lines = (
            f'm{n} = {{ source = "{reference}", type = "lora", filename = "m{n}.gguf" }}\n'
            for n, reference in enumerate(references)
        )
        project.manifest("[models]\n" + "".join(lines))
        project("lock")
    assert (server.alone, len(server.requests)) == (0, 4)


def test_the_gates_of_repositories_are_asked_over_one_connection() -> None:
    with turnstile(whole) as server, Wire(Credentials()) as wire:
        for number in range(3):
            wire.check(f"{server.url}/{number}")
    assert server.requests == [f"HEAD /{number}" for number in range(3)]
    assert server.connections == 1


def test_a_model_is_asked_for_once_when_it_is_added(project: Project) -> None:
    release = {"tag_name": "v1", "assets": [{"name": "w.gguf", "size": 9, "browser_download_url": "https://x/w.gguf",
               "digest": f"sha256:{SHA256}"}]}  # fmt: skip

    def site(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
        return 200, json.dumps(release).encode(), {}

    with turnstile(site) as server:
        os.environ |= dict.fromkeys(("GITHUB_API_URL", "GITHUB_SERVER_URL"), server.url)
        project.manifest("[models]\n")
        project("add", "gh:o/a@v1/w.gguf", "--type", "lora")  # its name is in the answer, and so is all else
    assert server.requests == ["GET /repos/o/a/releases/tags/v1"]
    assert [model["name"] for model in project.locked()] == ["w"]


def test_a_release_and_its_repository_are_asked_side_by_side(project: Project) -> None:
    release = {"tag_name": "v1", "assets": [{"name": "w.gguf", "size": 9, "browser_download_url": "https://x/w.gguf",
               "digest": f"sha256:{SHA256}"}]}  # fmt: skip

    def site(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
        return 200, json.dumps({"private": False} if path.endswith("/a") else release).encode(), {}

    with turnstile(site, together=2) as server:
        os.environ |= dict.fromkeys(("GITHUB_API_URL", "GITHUB_SERVER_URL"), server.url)
        os.environ["GITHUB_TOKEN"] = "b" * 32  # only with a token the repository has to be asked
        project("info", "gh:o/a@v1/w.gguf")
    assert (server.alone, len(server.requests)) == (0, 2)


def test_mirrors_and_sites_are_searched_side_by_side() -> None:
    together = threading.Barrier(2)
    model = LockedModel(
        name="m",
        requirement="civitai:1",
        reference=Reference.parse("civitai:1@2"),
        card=ModelCard(),
        artifacts=(Artifact(filename="w", size=len(CONTENT), sha256=SHA256, url=Reference.parse("civitai:1@2+3")),),
    )

    class Searching(UrlSource):
        def further_places(self, wanted: Sequence[Wanted]) -> Found:
            together.wait(10)
            return [], []

    def mirror(handler: BaseHTTPRequestHandler, path: str) -> tuple[int, bytes, dict[str, str]]:
        together.wait(10)
        return ranged(CONTENT)(handler, path)

    sources = {site.name: UrlSource() for site in SITES} | {"civitai": Searching(), "url": UrlSource()}
    with turnstile(mirror) as server, Wire(Credentials()) as wire:
        found = find_locations(
            Lockfile(models=(model,)), sources=sources, templates=[f"{server.url}/{{sha256}}"], wire=wire
        )
    assert [each.place for each in found.found] == [f"{server.url}/{SHA256}"]

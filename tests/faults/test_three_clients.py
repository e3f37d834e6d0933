"""The same rules in the three HTTP clients: of the sites' APIs, of the hub's own library, of the file bytes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cases import case
from stage import Stage
from stand_ins import names
from world import closed_port

from synapse_sync.demo import catalogue

CLIENTS = ["httpx", "the hub's library", "urllib3"]
PASSWORD = "pr0xy-pa55-word"


@dataclass
class Request:
    """One request that came to a front; `count` says how often its path was asked so far."""

    line: str
    headers: dict[str, str]
    count: int
    body: bytes

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


#: Makes the raw answer to a request from the one of the site behind.
Twist = Callable[[Request, bytes], bytes]


@dataclass
class Front:
    """A server in front of one of the hub's: it hands on requests, and twists the answers."""

    port_behind: int
    twist: Twist = lambda request, answer: answer
    asked: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._counts: Counter[str] = Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    def repent(self) -> None:
        """Hand on all answers as they are."""
        self.twist = lambda request, answer: answer

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as source, contextlib.suppress(OSError):
            line = source.readline().decode("latin-1").strip()
            if not line:
                return
            headers: dict[str, str] = {}
            while text := source.readline().decode("latin-1").strip():
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            self._counts[line] += 1
            body = source.read(int(headers.get("content-length", "0")))
            request = Request(line, headers, self._counts[line], body)
            self.asked.append(request)
            client.sendall(self.twist(request, self._behind(request)))

    def _behind(self, request: Request) -> bytes:
        """The raw answer of the site behind, with a length, for a connection that ends with it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port_behind, timeout=20)
        with contextlib.closing(connection):
            kept = {k: v for k, v in request.headers.items() if k not in ("connection", "accept-encoding")}
            connection.request(request.line.split(" ")[0], request.path, request.body, headers=kept)
            answer = connection.getresponse()
            body = answer.read()
            lines = [
                f"{k}: {v}" for k, v in answer.getheaders() if k.lower() not in ("connection", "content-length")
            ]
        head = [f"HTTP/1.1 {answer.status} {answer.reason}", *lines, f"Content-Length: {len(body)}"]
        return "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body


@pytest.fixture
def fronted(stage: Stage) -> Callable[[str, Twist], Front]:
    """Put a front before the site that one of the clients asks, and declare one model of it."""
    hub = stage.hub

    def make(client: str, twist: Twist) -> Front:
        behind = {"httpx": hub.civitai_url, "the hub's library": hub.huggingface.url, "urllib3": hub.files.url}
        front = Front(int(behind[client].rpartition(":")[2]), twist)
        stage.cleanup.callback(front.close)
        stage.healers.append(front.repent)
        stage.counters.append(lambda: len(front.asked))
        if client == "httpx":
            os.environ["CIVITAI_ENDPOINT"] = front.url
            stage.manifest(f'[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
        elif client == "the hub's library":
            os.environ["HF_ENDPOINT"] = front.url
            source = f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
            stage.manifest(f'[models]\na = {{ source = "{source}", type = "vae" }}\n')
        else:
            url = f"{front.url}/files/{catalogue.PLAIN_LORA}"
            stage.manifest(f'[models]\na = {{ source = "{url}", type = "lora" }}\n')
        return front

    return make


def with_headers(lines: bytes) -> Twist:
    """Add these header lines to each answer."""
    return lambda request, answer: answer.replace(b"\r\n", b"\r\n" + lines + b"\r\n", 1)


def empty(status: str, *lines: str) -> bytes:
    """An answer without a body."""
    head = [f"HTTP/1.1 {status}", *lines, "Content-Length: 0", "Connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1")


# -- heads of answers --------------------------------------------------------------------------------


@case(129)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 3,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
    ],
    ids=["103", "102 three times", "100 and 103"],
)
def test_interim_answers_are_no_answers(stage: Stage, fronted, client: str, interim: bytes) -> None:
    fronted(client, lambda request, answer: interim + answer)
    stage("sync")
    assert len(stage.tree()) == 1


@case(130)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "lines",
    [
        b"\r\n".join(b"X-%d: y" % number for number in range(150)),
        b"X-Long: " + b"a" * 70_000,
        b"\r\n".join(b"Set-Cookie: c%d=v; Path=/" % number for number in range(200)),
    ],
    ids=["150 lines", "a line of 70,000", "200 cookies"],
)
def test_long_heads_are_read(stage: Stage, fronted, client: str, lines: bytes) -> None:
    fronted(client, with_headers(lines))
    stage("sync")
    assert len(stage.tree()) == 1


@case(130)
@pytest.mark.parametrize("client", CLIENTS)
def test_endless_heads_are_named_and_not_asked_again(stage: Stage, fronted, client: str) -> None:
    front = fronted(client, with_headers(b"\r\n".join([b"X-Long: " + b"a" * 60_000] * 40)))
    said = stage("lock", code=5).err
    assert "headers of more than" in " ".join(said.split())
    assert max(Counter(request.line for request in front.asked).values()) == 1


# -- not yet -----------------------------------------------------------------------------------------


@case(131)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_is_not_ready_is_waited_for(stage: Stage, fronted, client: str) -> None:
    front = fronted(
        client,
        lambda request, answer: empty("202 Accepted", "Retry-After: 0") if request.count <= 7 else answer,
    )
    stage("sync")
    assert len(stage.tree()) == 1
    assert Counter(request.line for request in front.asked).most_common(1)[0][1] >= 8


@case(131)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("wait, times", [("Retry-After: 0", 20), ("Retry-After: 3600", 1), ("X: y", 20)])
def test_a_server_that_is_never_ready(stage: Stage, fronted, client: str, wait: str, times: int) -> None:
    front = fronted(client, lambda request, answer: empty("202 Accepted", wait))
    said = " ".join(stage("lock", code=5).err.split())
    assert "202" in said and not (stage.path / "synapse.lock").exists()
    assert Counter(request.line for request in front.asked).most_common(1)[0][1] == times


# -- cookies -----------------------------------------------------------------------------------------


@case(132)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_cookie_goes_back_within_its_chain_only(stage: Stage, fronted, client: str) -> None:
    """Each request begins without it, is redirected to itself, and comes back with it."""

    def bake(request: Request, answer: bytes) -> bytes:
        if "pass=1" in request.headers.get("cookie", ""):
            return answer
        return empty("307 Temporary Redirect", f"Location: {request.path}", "Set-Cookie: pass=1; Path=/; HttpOnly")

    front = fronted(client, bake)
    stage("sync")
    assert len(stage.tree()) == 1
    # A HEAD for a gate is not sent on.
    cookies = [request.headers.get("cookie") for request in front.asked if request.line.startswith("GET ")]
    assert cookies[::2] == [None] * len(cookies[::2]), "what one chain was given, the next one does not know"
    assert set(cookies[1::2]) == {"pass=1"}


@case(132)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_cookie_goes_to_no_other_origin(stage: Stage, fronted, client: str) -> None:
    """Whatever its domain says: another port of the same machine is another origin."""
    with contextlib.closing(Front(0)) as elsewhere:

        def bake(request: Request, answer: bytes) -> bytes:
            return empty(
                "307 Temporary Redirect",
                f"Location: {elsewhere.url}{request.path}",
                "Set-Cookie: pass=1; Path=/; Domain=127.0.0.1",
                "Set-Cookie: other=2; Path=/",
            )

        front = fronted(client, bake)
        elsewhere.port_behind = front.port_behind
        stage("sync", code=None)
        assert elsewhere.asked and all("cookie" not in request.headers for request in elsewhere.asked)


# -- addresses ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def swallowing(port: int) -> Iterator[None]:
    """Make port and address ::1 a black hole: a listener whose queue is full drops everything else."""
    with ExitStack() as stack:
        door = stack.enter_context(socket.socket(socket.AF_INET6))
        door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        door.bind(("::1", port))
        door.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(socket.AF_INET6))
            waiting.setblocking(False)
            waiting.connect_ex(("::1", port))
        yield


@case(133)
@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_dead_address_costs_a_moment(stage: Stage, fronted, client: str) -> None:
    front = fronted(client, lambda request, answer: answer)

    def both(look_up: Callable[..., list[Any]], host: str, port: int, *rest: Any, **named: Any) -> list[Any]:
        real = look_up(host, port, *rest, **named)
        if port != front.port:
            return real
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)), *real]

    with swallowing(front.port):
        began = time.monotonic()
        with names(both):
            stage("sync")
        assert time.monotonic() - began < 9, "one client waits ten seconds for one address"
    assert len(stage.tree()) == 1 and front.asked


# -- proxies -----------------------------------------------------------------------------------------


@pytest.fixture
def far(stage: Stage) -> Callable[[str, str], str]:
    """Lock one model of a site that only a proxy could reach; the answer is the error without its first word."""

    def make(client: str, proxy: str) -> str:
        os.environ["CIVITAI_ENDPOINT"] = "https://civitai.invalid"
        os.environ["HF_ENDPOINT"] = "https://hub.invalid"
        os.environ["HTTPS_PROXY"] = proxy
        source = {
            "httpx": '"civitai:100"',
            "the hub's library": '{ source = "hf://me/repo/x.safetensors", type = "vae" }',
            "urllib3": '{ source = "https://files.invalid/x.safetensors", type = "lora" }',
        }[client]
        stage.manifest(f"[models]\na = {source}\n")
        stage.excuse("I4", reason="there are no such hosts")
        stage.secrets.append(PASSWORD)
        done = stage("lock", "--debug", code=5)
        assert PASSWORD not in done.out + done.err
        return " ".join(done.err.split())

    return make


@case(134)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (
            f"http://me:{PASSWORD}@127.0.0.1:notaport",
            "the proxy in HTTPS_PROXY cannot be used: its URL is not readable",
        ),
        (f"socks5h://me:{PASSWORD}@127.0.0.1:9", "the proxy in HTTPS_PROXY cannot be used: it is a SOCKS proxy"),
        (f"gopher://me:{PASSWORD}@127.0.0.1:9", "cannot be used: its scheme is not http or https"),
    ],
)
def test_a_proxy_that_cannot_be_used_has_one_message(far, client: str, proxy: str, words: str) -> None:
    said = far(client, proxy)
    assert words in said and "bug" not in said


@case(134)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_proxy_that_is_not_reached_has_one_message(far, client: str) -> None:
    with closed_port() as port:
        said = far(client, f"http://me:{PASSWORD}@127.0.0.1:{port}")
    assert f"the proxy http://127.0.0.1:{port} cannot be used: Connection refused" in said
    assert "NO_PROXY" in said


# -- listings ----------------------------------------------------------------------------------------

TREE = "/tree/"


@pytest.fixture
def listed(stage: Stage, fronted) -> Callable[[Callable[[Request], str]], Front]:
    """A hub whose listing comes in pages; the argument makes the address of the next one, or an empty text."""

    def make(follow: Callable[[Request], str]) -> Front:
        def twist(request: Request, answer: bytes) -> bytes:
            head, _, body = answer.partition(b"\r\n\r\n")
            if request.path.startswith("/api/models/") and TREE not in request.path:
                # Like some mirrors: without the sizes and hashes, so that the tree has to be asked.
                shown = json.loads(body)
                shown["siblings"] = [{"rfilename": one["rfilename"]} for one in shown["siblings"]]
                return as_json(shown)
            if TREE in request.path and (link := follow(request)):
                return head + f'\r\nLink: <{link}>; rel="next"'.encode() + b"\r\n\r\n" + body
            return answer

        front: Front = fronted("the hub's library", twist)
        return front

    return make


def as_json(value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\nConnection: close\r\n\r\n" + body


def page_of(request: Request) -> int:
    return int(parse_qs(urlsplit(request.path).query).get("page", ["0"])[0])


def next_page(front: Front, request: Request) -> str:
    parts = urlsplit(request.path)
    return f"{front.url}{parts.path}?recursive=true&page={page_of(request) + 1}"


@case(135)
def test_a_listing_that_leads_to_another_host_is_not_followed(stage: Stage, listed) -> None:
    """Above all, the token does not go there."""
    with contextlib.closing(Front(0)) as elsewhere:
        front = listed(lambda request: f"{elsewhere.url}/page?cursor=2")
        said = " ".join(stage("lock", code=5).err.split())
        assert "another host" in said and elsewhere.asked == []
        assert any(TREE in request.path for request in front.asked)


@case(135)
@pytest.mark.parametrize("kind", ["always another page", "a page is its own next"])
def test_a_listing_that_does_not_end(stage: Stage, listed, kind: str) -> None:
    fronts: list[Front] = []

    def follow(request: Request) -> str:
        return f"{fronts[0].url}{request.path}" if kind.startswith("a page") else next_page(fronts[0], request)

    fronts.append(listed(follow))
    assert "does not end" in stage("lock", code=5).err
    assert len(fronts[0].asked) < 200


@case(135)
def test_a_listing_of_several_pages_is_read_whole_with_the_token(stage: Stage, listed) -> None:
    os.environ["HF_TOKEN"] = stage.hub.huggingface_token
    fronts: list[Front] = []
    fronts.append(listed(lambda request: next_page(fronts[0], request) if page_of(request) < 2 else ""))
    stage("lock")
    asked = [request for request in fronts[0].asked if TREE in request.path]
    assert [page_of(request) for request in asked] == [0, 1, 2]
    assert {request.headers["authorization"] for request in asked} == {f"Bearer {stage.hub.huggingface_token}"}

"""The hints of the network are true: each is provoked, followed to the letter, and helps."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from relay import Relay, relay
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.net.dial import Dialer

PASSWORD = "c0mpany-pa55word"
PATH = f"/files/{catalogue.PLAIN_LORA}"
HOST = "files.example"


@pytest.fixture
def behind(project: Project) -> Iterator[Callable[..., Relay]]:
    """A model of a host that only a proxy reaches, over plain http; the argument is what the proxy is like."""
    project.manifest(f'[models]\na = {{ source = "http://{HOST}{PATH}", type = "lora" }}\n')
    with ExitStack() as stack:

        def make(**options: object) -> Relay:
            routes = {HOST: urlsplit(project.hub.files.url).port or 0}
            made = stack.enter_context(relay(routes, trustme.CA(), **options))
            os.environ["HTTP_PROXY"] = os.environ["http_proxy"] = f"http://127.0.0.1:{made.port}"
            return made

        yield make


def allow(sandbox: Path, *hosts: str) -> None:
    (sandbox / "config.toml").write_text(f"allow-http = {list(hosts)}\n")


def refused(project: Project) -> str:
    """The error of a lock that fails in the network, on one line."""
    return " ".join(project("lock", code=5).err.split())


def works(project: Project) -> None:
    project("sync")
    assert len(project.tree()) == 1


def test_a_network_that_is_switched_off(project: Project, sandbox: Path) -> None:
    project.manifest(f'[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
    (sandbox / "config.toml").write_text("offline = true\n")
    for words in ((), ("--offline",)):
        said = " ".join(project("lock", *words, code=5).err.split())
        assert "without `--offline`, and without `offline = true` in your config.toml" in said
    (sandbox / "config.toml").unlink()
    assert "without `--offline`" in " ".join(project("lock", "--offline", code=5).err.split())
    works(project)


def test_plain_http(project: Project, sandbox: Path, behind) -> None:
    behind()
    assert "name the host under `allow-http` in your config.toml" in refused(project)
    allow(sandbox, HOST)
    works(project)


def test_a_redirect_into_the_own_network(project: Project, sandbox: Path, behind) -> None:
    behind()
    allow(sandbox, HOST)
    inside = project.hub.files.url + PATH
    project.hub.faults.add(PATH, Fault(status=302, headers={"Location": inside}, times=2))
    said = refused(project)
    assert "127.0.0.1, which is inside your own network" in said and "name the host under `allow-http`" in said
    allow(sandbox, HOST, "127.0.0.1")
    works(project)


def test_a_proxy_that_cannot_be_used(project: Project, sandbox: Path, behind) -> None:
    good = behind()
    allow(sandbox, HOST)
    os.environ["HTTP_PROXY"] = os.environ["http_proxy"] = "socks5h://127.0.0.1:9"
    assert "http:// and https:// proxies: correct or unset HTTPS_PROXY, HTTP_PROXY" in refused(project)
    os.environ["HTTP_PROXY"] = os.environ["http_proxy"] = f"http://127.0.0.1:{good.port}"
    works(project)


def test_a_proxy_that_wants_a_login(project: Project, sandbox: Path, behind) -> None:
    through = behind(login=f"ada:{PASSWORD}")
    allow(sandbox, HOST)
    assert "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT" in refused(project)
    os.environ["HTTP_PROXY"] = os.environ["http_proxy"] = f"http://ada:{PASSWORD}@127.0.0.1:{through.port}"
    works(project)


def test_a_redirect_that_does_not_end(project: Project, tmp_path: Path) -> None:
    """The file is downloaded by hand, as the hint says, and its path is used."""
    project.manifest(f'[models]\na = {{ source = "{project.hub.files.url}{PATH}", type = "lora" }}\n')
    project.hub.faults.add(PATH, Fault(status=302, headers={"Location": PATH}))
    said = refused(project)
    assert "cookies included" in said and "download the file there and use its path" in said
    project.hub.faults.clear()
    by_hand = project.path / "by-hand.safetensors"
    by_hand.write_bytes(catalogue_bytes(project))
    project.manifest('[models]\na = { source = "./by-hand.safetensors", type = "lora" }\n')
    project("sync")
    assert "models/loras/by-hand.safetensors" in project.tree()


def catalogue_bytes(project: Project) -> bytes:
    """The file as a browser gets it."""
    import urllib.request

    with urllib.request.urlopen(project.hub.files.url + PATH) as answer:
        return bytes(answer.read())


def dead(address: str) -> None:
    for name in ("CIVITAI_ENDPOINT", "HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "GITHUB_API_URL"):
        os.environ[name] = address


@pytest.mark.parametrize(
    "words",
    [
        ("info", "civitai:4384"), ("info", "hf://owner/repo"), ("info", "modelscope:o/repo"), ("info", "gh:o/r/x"),
        ("search", "portrait"), ("images",), ("tags",), ("creators",), ("add", "civitai:4384"), ("add", "hf:o/r"),
        ("lock",), ("sync",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_dead_network_is_one_sentence_everywhere(project: Project, words: tuple[str, ...]) -> None:
    """Many models, one finding; whoever waits for an answer waits for no second attempt."""
    project.manifest("[models]\n" + "".join(f'm{number} = "civitai:{number}"\n' for number in range(1, 6)))
    dead("http://127.0.0.1:9")
    os.environ["SYNAPSE_RETRY_DELAY"] = "0.25"  # the third wait is long enough to be reported
    project.hub.clear_log()
    said = project(*words, code=5).err
    assert "127.0.0.1:9 cannot be reached: Connection refused\n" in said.replace(
        "; trying again", "\n; trying again"
    )
    assert said.count("error: ") == 1 and "hint: check the connection and try again" in said
    assert ("trying again" in said) is (words[0] in ("add", "lock", "sync") and words[-1] != "hf:o/r")


def test_who_waits_for_an_answer_is_told_of_a_silent_network_soon(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that accepts nothing: three seconds are the most, and what a busy machine needs for the rest.

    Each thread waits once, beside the others.
    """
    waits: list[tuple[threading.Thread, float]] = []
    connect = Dialer.connect

    def noted(dialer: Dialer, host: str, port: int, **how: Any) -> socket.socket:
        waits.append((threading.current_thread(), how["timeout"]))
        return connect(dialer, host, port, **how)

    monkeypatch.setattr(Dialer, "connect", noted)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        with ExitStack() as stack:
            for _ in range(3):  # the queue of the port is full, so nobody is connected any more
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(silent.getsockname())
            dead(f"http://127.0.0.1:{silent.getsockname()[1]}")
            began = time.monotonic()
            said = project("search", "x", code=5).err
            assert "cannot be reached: no connection in time" in said
            assert time.monotonic() - began < 9, "another client waits ten seconds"
        assert waits and max(limit for _, limit in waits) <= 3.0
        assert len({thread for thread, _ in waits}) == len(waits), "nobody waits twice"

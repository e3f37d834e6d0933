"""Web servers as remotes that answer otherwise than with the file: `store status` and `store pull`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from second_machine import emptied, from_the_site
from stand_ins import typed
from workbench import declare
from world import Project

from synapse_sync.demo.server import Listener

PAGE = b"<!DOCTYPE html><title>Sign in</title>"
HTML = {"Content-Type": "text/html"}
#: What a server says of a path: a status, a body, headers. A header `Content-Length` of None: no length is sent.
Said = tuple[int, bytes, dict[str, str | None]]
#: The answer to a method and a path, whose file is given.
Answer = Callable[[str, str, bytes], Said]


def as_it_is(method: str, path: str, content: bytes) -> Said:
    return 200, content, {}


class Web:
    """A web server that is the remote; `answer` decides, `asked` are its requests, `had` its files by digest.

    Who shows the token `lets_in` gets the files in any case.
    """

    def __init__(self, had: dict[str, bytes]) -> None:
        self.answer: Answer = as_it_is
        self.asked: list[str] = []
        self.lets_in: str | None = None
        self.had = had
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.asked.append(f"{self.command} {self.path}")
                answer = web.answer
                if web.lets_in is not None and self.headers.get("Authorization") == f"Bearer {web.lets_in}":
                    answer = as_it_is
                status, body, headers = answer(self.command, self.path, had.get(self.path.rpartition("/")[2], b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    if value is not None:
                        self.send_header(name, value)
                    else:
                        self.close_connection = True
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = Listener(Handler)


@pytest.fixture
def web(impatient: None, project: Project) -> Iterator[Web]:
    """A web server as the remote of a machine with a lockfile and no file."""
    project.manifest(declare("portrait", "eyes", "sharpen"))
    project("sync")
    web = Web(emptied(project))
    os.environ["SYNAPSE_REMOTE"] = f"{web.server.url}/rem"
    web.server.start()
    yield web
    web.server.stop()


def to_a_page(method: str, path: str, content: bytes) -> Said:
    return (200, PAGE, HTML) if path == "/signin" else (302, b"", {"Location": "/signin"})


def on_another_host(method: str, path: str, content: bytes) -> Said:
    """As where a server redirects to an address that is signed for a GET."""
    if path.startswith("/rem"):
        return 307, b"", {"Location": f"/signed{path}"}
    return (403, b"signed for GET", {}) if method == "HEAD" else (200, content, {})


WRONG: dict[str, Answer] = {
    "a page": lambda method, path, content: (200, PAGE, HTML),
    "a redirect to a page": to_a_page,
    "half": lambda method, path, content: (200, content[: len(content) // 2], {}),
    "double": lambda method, path, content: (200, content * 2, {}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_status_sees_what_is_not_the_file(project: Project, web: Web, kind: str) -> None:
    web.answer = WRONG[kind]
    assert "3 files of a wrong size" in project("store", "status", "--check", code=8).out
    (state,) = project("store", "status", "--json").json["remotes"]
    assert (state["there"], len(state["wrong"])) == (0, 3)
    project("store", "pull", code=6)


def test_a_page_of_unknown_size_is_no_file(project: Project, web: Web) -> None:
    web.answer = lambda method, path, content: (200, PAGE, {**HTML, "Content-Length": None})
    assert "lacks 3 files" in project("store", "status", "--check", code=8).out


RIGHT: dict[str, Answer] = {
    "plain": as_it_is,
    "another host": on_another_host,
    "no HEAD": lambda method, path, content: (405, b"", {}) if method == "HEAD" else (200, content, {}),
    "a HEAD of zero": lambda method, path, content: (200, b"" if method == "HEAD" else content, {}),
    "no size": lambda method, path, content: (200, content, {"Content-Length": None}),
    "a wrong label": lambda method, path, content: (200, content, HTML),
    "a label that compresses": lambda method, path, content: (
        200, content, {"Content-Length": "7" if method == "HEAD" else str(len(content)), "Content-Encoding": "gzip"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", RIGHT)
def test_status_and_pull_agree(project: Project, web: Web, kind: str) -> None:
    web.answer = RIGHT[kind]
    done = project("store", "status", "--check")
    assert done.out.rstrip().endswith(": all")
    assert "3 files pulled" in project("store", "pull").out and not from_the_site(project)


def test_one_request_for_each_file(project: Project, web: Web) -> None:
    project("store", "status")
    assert len(web.asked) == 3 and all(asked.startswith("HEAD ") for asked in web.asked)


def guarded(status: int) -> Answer:
    """A server that wants a token from everybody."""
    return lambda method, path, content: (status, b"no", {})


def test_a_server_that_wants_a_token(project: Project, web: Web) -> None:
    web.answer = guarded(401)
    host = web.server.url.removeprefix("http://")
    for words in (("status",), ("status", "--check"), ("pull",)):
        assert f"`synapse login {host}`" in " ".join(project("store", *words, code=3).err.split())
    done = project("sync", "--json")
    (warning,) = done.json["warnings"]
    assert f"`synapse login {host}`" in warning and len(from_the_site(project)) == 3
    web.lets_in = "a-token"
    with typed("a-token"):
        project("login", host, "--token-stdin")
    assert project("store", "status", "--check").out.rstrip().endswith(": all")


def test_a_server_that_refuses_everything_is_not_called_empty(project: Project, web: Web) -> None:
    web.answer = guarded(403)
    host = web.server.url.removeprefix("http://")
    for words in (("status",), ("status", "--check"), ("pull",)):
        said = " ".join(project("store", *words, code=3).err.split())
        assert "refuses its files, or does not have them (403)" in said and f"`synapse login {host}`" in said
        assert said.count("hint:") == 1
    (warning,) = project("sync", "--json").json["warnings"]
    assert "or does not have them" in warning and len(from_the_site(project)) == 3


def test_a_server_that_says_403_of_what_it_lacks(project: Project, web: Web) -> None:
    """As a bucket behind a web address does that may not be listed."""
    (missing, *_) = sorted(web.had)
    web.answer = lambda method, path, content: (403, b"", {}) if missing in path else (200, content, {})
    assert "has 2 files" in (said := project("store", "status", "--check", code=8).out) and "lacks 1 file" in said
    assert "2 files pulled" in project("store", "pull", code=3).out
    project("sync")
    assert len(from_the_site(project)) == 1


@pytest.mark.parametrize("words", [("status", "--check"), ("pull",)])
def test_a_redirect_without_end(project: Project, web: Web, words: tuple[str, ...]) -> None:
    web.answer = lambda method, path, content: (302, b"", {"Location": path})
    said = " ".join(project("store", *words, code=5).err.split())
    assert "redirects more than 10 times" in said and "correct the address of the remote" in said
    assert "browser" not in said
